(component
  (instance (export "persea:plugin/plugin@0.1.0"))
  (instance (export "persea:plugin/vary@0.1.0")))
