(component
  (import "persea:plugin/types@0.2.0" (instance))
  (import "persea:plugin/process@0.2.0" (instance))
  (import "persea:plugin/log@0.2.0" (instance))
  (import "wasi:cli/stdout@0.2.0" (instance))
  (instance (export "persea:plugin/plugin@0.2.0"))
  (instance (export "persea:plugin/run@0.2.0")))
