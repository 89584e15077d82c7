#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use super::*;
use serde_json::json;

fn dirs(root: &Path) -> UserDirs {
    UserDirs {
        config: root.join("config"),
        data: root.join("data"),
        cache: root.join("cache"),
        state: root.join("state"),
        home: root.to_path_buf(),
    }
}

#[test]
fn later_layer_wins_and_is_the_origin() {
    let root = tempfile::tempdir().unwrap();
    let dirs = dirs(root.path());
    std::fs::create_dir_all(&dirs.config).unwrap();
    std::fs::write(
        dirs.config.join("config.toml"),
        "[task.timeout]\nrunning = 4\n[run]\nfailfast = true\n",
    )
    .unwrap();
    let file = root.path().join("more.toml");
    std::fs::write(&file, "task.timeout.running = '2m'\n").unwrap();

    let config = Config::load(
        &dirs,
        std::slice::from_ref(&file),
        &["run.failfast=false".into()],
    )
    .unwrap();
    assert_eq!(
        config.get(settings::TASK_TIMEOUT_RUNNING),
        Some(Duration::from_secs(120))
    );
    assert_eq!(config.get(settings::RUN_FAILFAST), None);
    let origins: BTreeMap<_, _> = config
        .iter()
        .map(|(name, _, origin)| (name, origin.clone()))
        .collect();
    assert_eq!(origins["task.timeout.running"], Origin::File(file));
    assert_eq!(origins["run.failfast"], Origin::CommandLine);
    assert_eq!(origins["runner.identifier_format"], Origin::Default);
}

#[test]
fn syntax_error_has_line_and_column() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("bad.toml");
    std::fs::write(&file, "[run]\nfailfast = yes\n").unwrap();
    let error = Config::load(&dirs(root.path()), std::slice::from_ref(&file), &[])
        .unwrap_err()
        .to_string();
    assert!(error.contains("bad.toml:2:12:"), "{error}");
}

#[test]
fn value_of_the_wrong_shape_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let error = Config::load(
        &dirs(root.path()),
        &[],
        &["run.max_parallel_tasks=many".into()],
    )
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        "setting `run.max_parallel_tasks` from the command line: expected a whole number, found \
         `\"many\"`"
    );
}

#[test]
fn every_default_fits_its_shape() {
    for setting in SETTINGS {
        let value = setting.default();
        assert!(
            value.is_null() || setting.shape.fits(&value),
            "{}",
            setting.name
        );
    }
}

#[test]
fn duration_is_a_number_or_a_text() {
    assert_eq!(duration(&Value::from(4)), Some(Duration::from_secs(4)));
    assert_eq!(
        duration(&Value::from("1h 30m")),
        Some(Duration::from_secs(5400))
    );
    assert_eq!(
        duration(&Value::from("0.5")),
        Some(Duration::from_millis(500))
    );
    assert_eq!(duration(&Value::from("soon")), None);
    assert_eq!(duration(&Value::from(-1)), None);
}

#[test]
fn file_with_too_many_values_is_refused() {
    let path = Path::new("f.toml");
    let [small, large] = MOST_VALUES;
    let list = |items: usize, item: &str| format!("a = [{}]", item.repeat(items));
    for (text, most) in [
        (list(small, "1,"), Some(small)),
        (list(small / 2, "1,"), None),
        (list(large / 3 + 1, "{a=1},  "), Some(large)),
        (list(large / 4, "{a=1},      "), None),
    ] {
        match parse::<toml::Table>(path, &text) {
            Ok(_) => assert_eq!(most, None),
            Err(error) => {
                let words = format!("f.toml: more than {} values", most.unwrap());
                assert!(error.to_string().starts_with(&words), "{error}");
            }
        }
    }
}

#[test]
fn every_name_of_a_choice_is_in_the_message_about_a_wrong_value() {
    for setting in SETTINGS {
        for name in setting.shape.names() {
            let expected = setting.shape.expected();
            assert!(expected.contains(&format!("`{name}`")), "{expected}");
        }
    }
}

#[test]
fn unset_setting_has_the_default_of_the_table() {
    let config = Config::default();
    let without = Config::empty();
    for key in [settings::RUN_PLAN_MB, settings::RUN_RETRIES] {
        assert_eq!(without.get(key), config.get(key));
    }
    assert_eq!(without.get(settings::FETCH_HOSTS), ["*"]);
    assert_eq!(
        without.get(settings::REQUIREMENT_SCOPE),
        persea_model::Scope::Job
    );
    assert_eq!(without.get(settings::TASK_TIMEOUT_RUNNING), None);
}

#[test]
fn zero_is_no_limit_of_a_time_and_no_wait_of_a_delay() {
    let mut config = Config::default();
    assert_eq!(
        config.get(settings::RUNNER_TASK_GRACE),
        Duration::from_secs(1)
    );
    config.set_option(settings::RUNNER_TASK_GRACE, 0);
    config.set_option(settings::REQUIREMENT_TIMEOUT, 0);
    assert_eq!(config.get(settings::RUNNER_TASK_GRACE), Duration::ZERO);
    assert_eq!(config.get(settings::REQUIREMENT_TIMEOUT), None);
}

#[test]
fn size_has_units_in_powers_of_1024() {
    for (text, bytes) in [
        (json!(5), Some(5)),
        (json!("5"), Some(5)),
        (json!("5B"), Some(5)),
        (json!("100k"), Some(102_400)),
        (json!("512 MiB"), Some(512 << 20)),
        (json!("2GB"), Some(2 << 30)),
        (json!(" 1 t "), Some(1 << 40)),
        (json!(""), None),
        (json!("G"), None),
        (json!("1.5G"), None),
        (json!("1 iB"), None),
        (json!("1 x"), None),
        (json!(-1), None),
        (json!(1.5), None),
        (json!("99999999999T"), None),
        (json!(true), None),
    ] {
        assert_eq!(size(&text), bytes, "{text}");
    }
}

#[test]
fn processors_are_counted_in_thousandths() {
    for (number, thousandths) in [
        (json!(2), Some(2000)),
        (json!(0.5), Some(500)),
        (json!("0.25"), Some(250)),
        (json!(0), Some(0)),
        (json!(0.01), Some(10)),
        (json!(0.001), None),
        (json!(-1), None),
        (json!("many"), None),
        (json!(1e9), None),
    ] {
        assert_eq!(processors(&number), thousandths, "{number}");
    }
}
