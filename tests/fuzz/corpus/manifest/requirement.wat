(component
  (import "persea:plugin/fetch@0.2.0" (instance))
  (import "persea:plugin/cache@0.2.0" (instance))
  (instance (export "persea:plugin/plugin@0.2.0"))
  (instance (export "persea:plugin/fulfil@0.2.0")))
