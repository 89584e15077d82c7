(component
  (import "persea:plugin/workspace@0.2.0" (instance))
  (instance (export "persea:plugin/plugin@0.2.0"))
  (instance (export "persea:plugin/resolve@0.2.0")))
