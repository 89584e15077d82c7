(component
  (import "a:b/c@1.0.0" (instance))
  (instance (export "persea:plugin/plugin@0.2.0"))
  (instance (export "persea:plugin/run@0.2.0")))
