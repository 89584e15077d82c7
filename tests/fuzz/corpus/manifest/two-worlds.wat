(component
  (instance (export "persea:plugin/plugin@0.2.0"))
  (instance (export "persea:plugin/run@0.2.0"))
  (instance (export "persea:plugin/resolve@0.2.0")))
