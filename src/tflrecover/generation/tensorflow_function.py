"""The class by which a source calls functions of TensorFlow, where Keras has no name for them."""

NAME = "TensorFlowFunction"

SOURCE = '''\
@keras.saving.register_keras_serializable()
class TensorFlowFunction(layers.Layer):
    """Calls a function of TensorFlow by its name; None stands for the next input."""

    def __init__(self, function, *args, name=None, **kwargs):
        super().__init__(name=name)
        self.function, self.given = function, (args, kwargs)

    def call(self, inputs):
        tensors = iter(inputs if isinstance(inputs, (list, tuple)) else [inputs])

        def filled(value):
            if isinstance(value, (list, tuple)):
                return [filled(one) for one in value]
            return next(tensors) if value is None else value

        args, kwargs = self.given
        args, kwargs = filled(args), {key: filled(one) for key, one in kwargs.items()}
        result = operator.attrgetter(self.function)(tf)(*args, **kwargs)
        return list(result) if isinstance(result, tuple) else result

    def compute_output_spec(self, inputs):
        # Keras takes a product with a constant for a sparse tensor.
        dense = keras.tree.map_structure(
            lambda one: keras.KerasTensor(one.shape, one.dtype), inputs
        )
        return super().compute_output_spec(dense)

    def load_own_variables(self, store):
        """Does nothing: the arrays in the file of weights are arguments here."""

    def get_config(self):
        args, kwargs = self.given
        own = {"args": [self.function, *args], "kwargs": dict(kwargs)}
        return {"name": self.name, **own}

    @classmethod
    def from_config(cls, config):
        config = keras.saving.deserialize_keras_object(config)
        return cls(*config["args"], name=config["name"], **config["kwargs"])
'''
