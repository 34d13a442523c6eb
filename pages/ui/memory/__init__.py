"""The Memory page: when does a model only remember?"""
