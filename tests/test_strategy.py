"""trainer.strategy: where the steps run."""

import tensorflow as tf

from trainer.strategy import make_strategy


def test_one_replica_runs_on_the_first_device():
    strategy = make_strategy()
    assert strategy.num_replicas_in_sync == 1
    device = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
    with strategy.scope():
        variable = tf.Variable(2.0)
    assert variable.device.endswith(f"{device}:0")

    @tf.function
    def doubled(x):
        return strategy.reduce("SUM", strategy.run(lambda v: v * variable, args=(x,)), axis=None)

    assert doubled(tf.constant(3.0)).numpy() == 6.0
