"""The command ``dpm-explorer``, which opens the app. In a wheel this folder also holds app.py, pages/ and what they read."""
