"""Every key of a session. A key that is not here does not exist."""

from __future__ import annotations

from typing import Any

from pages.ui.session.kept import KeptKey
from pages.ui.session.key import Key, LinkKey, ObjectKey

PLAYER_STATE = ("t", "version", "layers", "colour", "pick")  # of one page's player: without meaning on another page

PRESENTING = Key("presenting", False)
HIDDEN_CONTROLS: Key[list[str]] = Key("hidden", list)
CURRENT_PAGE = Key("page", "")
LINK: Key[dict[str, list[str]]] = Key("link", dict)
BOUND_WIDGETS: Key[set[str]] = Key("bound", set)
UPLOADS: Key[dict[str, Any]] = Key("uploads", dict)  # by widget key: controls.file_upload.Upload
UPLOADED = {key: KeptKey(f"{key}_kept") for key in ("csv", "bits_file", "picture", "inpaint_file")}  # the file of each uploader
LAST_GOOD: Key[dict[str, Any]] = Key("last_good", dict)  # by control: what is shown while the control's value makes no sense

CONTROL_POINTS = LinkKey("points")  # of the custom schedule
CONTROL_POINTS_REVISION = Key("points_rev", 0)  # raised when the curve editor must take the points from here
CONTROL_POINTS_ERROR = Key("points_error", "")
LEARNED_SCHEDULES: Key[dict[Any, Any]] = Key("learned_schedules", dict)

DRAWING = LinkKey("draw")  # strokes of a data set drawn by hand
FACTOR_STROKES = LinkKey("r_strokes")  # strokes of a painted r(x)
PAINTED_BITS = LinkKey("cells")
HELD_BITS = LinkKey("held")
LIKELIHOOD_BITS = LinkKey("bits_at")
LIKELIHOOD_POINT = LinkKey("at")
LIKELIHOOD_CLICK: Key[tuple[float, float] | None] = Key("clicked_at", None)
SELECTION = LinkKey("pick")  # what was clicked in the Reverse page's player
SELECTION_MODEL: Key[Any] = Key("picked_on", None)  # the model on which it was clicked

RUN_ID = LinkKey("job")
RUN_SEEN: Key[tuple[Any, ...] | None] = Key("job_seen", None)  # the run on the page, with the controls when it was first seen
RATE_SEEN: Key[tuple[str, float] | None] = Key("rate_seen", None)
TRAINING_ERROR = Key("train_error", "")
RELATIVES_ERROR = Key("relatives_error", "")
TRAINING_CHANGED = Key("train_changed", False)
SAVED_CHECKPOINT: Key[tuple[str, str, bytes]] = Key("kept", ("", "", b""))  # run id, name, archive
SAVE_ERROR: Key[tuple[str, str, str] | None] = Key("keep_error", None)  # run id, name, sentence

CHECKPOINT_ERROR: Key[tuple[Any, ...] | None] = Key("checkpoint_error", None)  # action, path, sentence
UPLOAD_ROUND = Key("upload_turn", 0)  # raised after an upload: another key empties the file uploader
ADDED_CHECKPOINT = Key("added", "")

PICTURE_SHOWN = Key("inpaint_on", "")  # key of the picture that the mask belongs to
PICTURE_BASE = Key[Any]("inpaint_base", None)  # a completion that is painted on instead of the picture
MASK = Key[Any]("inpaint_mask", None)
MASK_KEPT = KeptKey("mask_kept")
MASK_FILE = Key("mask_read", "")
FILLING = ObjectKey("inpaint_filling")
PICTURE_NETWORK = ObjectKey("inpaint_learning")
INPAINT_ERROR = Key("inpaint_problem", "")
DIGIT_DRAWING = Key[Any]("inpaint_drawing", None)
DIGIT_DRAWING_KEPT = KeptKey("drawing_kept")

MOMENT = Key("moment", "")  # what the players of the lecturer's page show, as JSON

TRIED = Key("tried", 0)  # raised by an action of "Try this": another key closes the menu
TOUR = ObjectKey("own_tour")  # a tour loaded from a file
TOUR_FILE = Key("tour_read", "")
TOUR_ERROR = Key("tour_problem", "")

# values that enter the session from the link without a widget of their own; a link opened in the session sets them anew
UNBOUND = tuple(
    key.name
    for key in (
        CONTROL_POINTS, DRAWING, FACTOR_STROKES, PAINTED_BITS, HELD_BITS, LIKELIHOOD_BITS, LIKELIHOOD_POINT, SELECTION,
    )
)  # fmt: skip
