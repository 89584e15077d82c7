(component
  (import "persea:plugin/report-output@0.2.0" (instance))
  (instance (export "persea:plugin/plugin@0.2.0"))
  (instance (export "persea:plugin/format@0.2.0")))
