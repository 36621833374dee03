"""How the built-in model is made: the picture catalogue and the training script. Not part of the wheel."""
