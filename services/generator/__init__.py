"""The generator: one vLLM engine that samples responses and takes new weights in flight.

Invariants:
- every token comes with the log-prob it was sampled with and the version of the weights it was
  sampled under, both from vLLM itself;
- no response leaves while the engine's weights are unproven;
- an engine process never outlives the generator.

Start reading at :mod:`services.generator.engine.vllm_engine`; the queue side is
:mod:`services.generator.queue_sampler`.
"""
