(component
  (instance (export "persea:plugin/plugin@0.2.0"))
  (instance (export "persea:plugin/vary@0.2.0")))
