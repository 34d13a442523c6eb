"""The Reversibility page: in which direction does time run?"""
