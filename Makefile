# make run: the app, for this machine alone;  make room: the app, for everybody in the network;  make lecture: the same, but the
# lecturer has the controls and the others follow;  make test: every test;
# make lint: style and types;  make check: lint and the library's tests, which takes a minute and a half: no pages, no browser,
# no installed wheel.  Each installs what it needs.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PLANE := swiss_roll moons circles eight_gaussians pinwheel checkerboard s_curve spirals
IMAGES := --seed 0 --half --threads 1
MINUTES ?= 9
MLP := --points 400000 --network mlp --schedule log_snr -T 40 --steps 24000 --lr 0.005 --seed 0

# two workers with one thread each; tests/conftest.py says which tests stay together and in which order they are given out
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadgroup --no-loadscope-reorder

.PHONY: run room lecture test check lint hostile lock checkpoints image-checkpoints bound-checkpoints bit-checkpoints class-checkpoints gpu-checkpoints clean

run: $(VENV)/.app
	$(BIN)/streamlit run app.py

room: $(VENV)/.app
	DPM_ROLE=shared $(BIN)/streamlit run app.py --server.address 0.0.0.0

lecture: $(VENV)/.app
	DPM_ROLE=lecture $(BIN)/python -m dpm_explorer --server.address 0.0.0.0

test: $(VENV)/.dev $(VENV)/.browser
	$(PYTEST)

check: lint
	$(PYTEST) $(addprefix --ignore tests/,pages browser test_package.py test_recipes.py)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/mypy

# 10,000 cases of damaged input for every reader, and 100 links for every page: an hour or two
hostile: $(VENV)/.dev
	DPM_HOSTILE_CASES=10000 $(BIN)/python -m pytest -q -n 2 tests/test_hostile_input.py tests/exchange/test_hostile_import.py

# every shipped checkpoint, each by the commands that its JSON records
checkpoints: $(VENV)/.app
	for data in $(PLANE); do \
	  $(BIN)/python -m dpm_core train --data $$data $(MLP) --name $${data}_mlp --out checkpoints || exit 1; done
	$(BIN)/python -m dpm_core train --data swiss_roll --network rbf --schedule paper --schedule-param beta_1=0.001 \
	  -T 40 --steps 40000 --lr 0.03 --seed 0 --name swiss_roll_rbf --out checkpoints

# twelve minutes on one processor thread
bit-checkpoints: $(VENV)/.app
	$(BIN)/python -m dpm_core train --data heartbeat --steps 8000 --seed 0 --half --name heartbeat_mlp --out checkpoints
	$(BIN)/python -m dpm_core train --data heartbeat --network sigmoid --steps 60000 --batch 1024 --lr 0.01 --seed 0 --half --name heartbeat_sigmoid --out checkpoints
	$(BIN)/python -m dpm_core train --data binary_digits --steps 4000 $(IMAGES) --name binary_digits_unet --out checkpoints

# about five hours on one processor thread; MNIST is downloaded unless it is in $$DPM_DATA
image-checkpoints: $(VENV)/.app
	$(BIN)/python -m dpm_core train --data digits --steps 9000 $(IMAGES) --name digits_unet --out checkpoints
	$(BIN)/python -m dpm_core train --data mnist --schedule cosine --loss simple --network-param width=32 --steps 16000 $(IMAGES) \
	  --name mnist_unet --out checkpoints
	$(BIN)/python -m dpm_core train --data mnist --schedule cosine --loss simple --network-param width=32 --resume mnist_unet \
	  --steps 18000 --lr 0.003 --ema 0.9995 $(IMAGES) --name mnist_unet --out checkpoints
	$(BIN)/python -m dpm_core train --data mnist --network multiscale --schedule cosine --loss simple --steps 8000 $(IMAGES) \
	  --name mnist_multiscale --out checkpoints
	$(BIN)/python -m dpm_core train --data mnist --network multiscale --schedule cosine --loss simple --resume mnist_multiscale \
	  --steps 12000 --lr 0.002 --ema 0.9995 $(IMAGES) --name mnist_multiscale --out checkpoints
	$(BIN)/python -m dpm_core train --data dead_leaves --steps 6000 $(IMAGES) --name dead_leaves_unet --out checkpoints
	$(BIN)/python -m dpm_core train --data brick --steps 2500 $(IMAGES) --name brick_unet --out checkpoints

# the two models with the best K, which take minutes on a GPU and about seven hours each on one processor thread
FINE := --schedule log_snr --schedule-param start=14 --network-param width=32 --network-param blocks=2 --ema 0.9995 \
  --batch 256 --seed 0 --half --device cuda --compile
bound-checkpoints: $(VENV)/.app
	$(BIN)/python -m dpm_core train --data mnist $(FINE) --network-param grey_levels=78.568 --lr 0.002 --steps 8900 \
	  --name mnist_unet_bound --out checkpoints
	$(BIN)/python -m dpm_core train --data cifar10 $(FINE) --network-param grey_levels=64.26 --lr 0.002 --steps 6000 \
	  --name cifar10_unet --out checkpoints
	$(BIN)/python -m dpm_core train --data cifar10 $(FINE) --network-param grey_levels=64.26 --lr 0.0015 --steps 2500 --resume cifar10_unet \
	  --name cifar10_unet --out checkpoints

# class-conditional models, and classifiers of noisy images: one and a half hours on one processor thread
class-checkpoints: $(VENV)/.app
	for data in digits mnist; do steps=$$(test $$data = mnist && echo 5000 || echo 2500); \
	  $(BIN)/python -m dpm_core train --data $$data --network classifier --network-param width=24 --steps $$steps $(IMAGES) \
	  --name $${data}_classifier --out checkpoints || exit 1; done
	for data in moons eight_gaussians pinwheel; do \
	  $(BIN)/python -m dpm_core train --data $$data --labels $(MLP) --name $${data}_classes_mlp --out checkpoints || exit 1; done
	$(BIN)/python -m dpm_core train --data digits --labels --schedule cosine --loss simple --steps 9000 $(IMAGES) \
	  --name digits_classes_unet --out checkpoints
	$(BIN)/python -m dpm_core train --data binary_digits --labels --steps 4000 $(IMAGES) --name binary_digits_classes_unet --out checkpoints
	$(BIN)/python -m dpm_core train --data mnist --labels --schedule cosine --loss simple --network-param width=32 --resume mnist_unet \
	  --steps 8000 --lr 0.003 --ema 0.9995 $(IMAGES) --name mnist_classes_unet --out checkpoints

# larger image and bit models on one GPU, in pieces of MINUTES: run it again until it says that all models are finished
gpu-checkpoints: $(VENV)/.app
	$(BIN)/python -m benchmarks.gpu_checkpoints --minutes $(MINUTES)

$(VENV)/.app: requirements.txt
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'Python 3.11 or newer is needed.')"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

$(VENV)/.dev: $(VENV)/.app requirements-dev.txt requirements-cluster.txt requirements-diffusers.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@

$(VENV)/.browser: $(VENV)/.dev tests/install_browser.sh
	sh tests/install_browser.sh $(BIN)/python
	touch $@

# requirements.lock: the same with everything that they need, each with its hashes
lock: requirements.txt
	$(PYTHON) -m pip install --quiet uv
	$(PYTHON) -m uv pip compile $< --generate-hashes --python-version 3.11 --universal --custom-compile-command "make lock" -o requirements.lock

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache artefacts
