"""Inpainting: fill the missing part of a picture with its own patches, a trained model, or a network trained on the picture."""
