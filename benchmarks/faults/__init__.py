"""Plants one fault at a time in Keras models and looks for each in the diff."""
