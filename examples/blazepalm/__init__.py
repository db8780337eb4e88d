"""BlazePalm, MediaPipe's palm detector, in Keras: the reference example of tflrecover."""
