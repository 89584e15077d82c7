(component
  (import "persea:plugin/fetch@0.1.0" (instance))
  (import "persea:plugin/cache@0.1.0" (instance))
  (instance (export "persea:plugin/plugin@0.1.0"))
  (instance (export "persea:plugin/fulfil@0.1.0")))
