"""Filling the missing part of a picture: by its own patches, by a trained model, or by a network trained on the picture."""
