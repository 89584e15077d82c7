(component
  (instance (export "persea:plugin/plugin@0.1.0"))
  (instance (export "persea:plugin/schedule@0.1.0")))
