(component
  (import "persea:plugin/process@0.1.0" (instance))
  (instance (export "persea:plugin/plugin@0.1.0"))
  (instance (export "persea:plugin/run-program@0.1.0")))
