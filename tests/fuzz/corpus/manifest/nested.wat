(component
  (import "persea:plugin/log@0.2.0" (instance))
  (component
    (import "persea:plugin/report-output@0.2.0" (instance))
    (instance (export "persea:plugin/resolve@0.2.0")))
  (core module (memory 1))
  (instance (export "persea:plugin/plugin@0.2.0"))
  (instance (export "persea:plugin/run@0.2.0")))
