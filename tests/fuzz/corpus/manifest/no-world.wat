(component
  (instance (export "a:b/c@1.0.0")))
