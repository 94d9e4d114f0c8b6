//! Configuration as the reference system took it.

use flowlord_storage::HmacKey;

use super::*;

#[test]
fn a_file_of_the_reference_system_starts_it_and_each_old_key_is_named() {
    let file = r##"
workflow = "./flows"
refresh = "10m"
done_topic = "done"
file_topic = "stat"
failed_topic = "-"
status_port = 9090
host = "flowlord.example.com"
[Slack]
Url = "https://hooks.example/planted"
Channel = "#alerts"
MinFrequency = "2m"
MaxFrequency = 0
[sqlite]
LocalPath = "/var/lib/flowlord/tasks.db"
BackupPath = "s3://bucket/flowlord/tasks.db"
Retention = 7776000000000000
task-ttl = "6h"
[bus]
bus = "nsq"
[file]
access_key = "AKIA"
"##;
    let loaded = load(file, &[], &[]).unwrap();
    let (config, warnings) = (loaded.config, loaded.warnings.join("\n"));
    assert_eq!(config.workflow.to_string(), "./flows");
    assert_eq!(config.listen.to_string(), "0.0.0.0:9090");
    assert!(!config.is_open());
    assert_eq!(config.public_url.as_deref(), Some("http://flowlord.example.com:9090"));
    assert_eq!(config.notify.url.unwrap().expose(), "https://hooks.example/planted");
    assert_eq!((config.notify.ladder.min_interval, config.notify.ladder.max_interval), (minutes(2), minutes(32)));
    assert_eq!(config.data, Path::new("/var/lib/flowlord"));
    assert_eq!(config.backup.path.unwrap().to_string(), "s3://bucket/flowlord");
    assert_eq!((config.history.retention, config.tasks.ttl), (TimeDelta::days(90), minutes(360)));
    assert_eq!(config.store.s3.access_key.as_deref(), Some("AKIA"));
    assert!(!warnings.contains("planted"), "{warnings}");
    for old in [
        "status_port",
        "host",
        "slack.Url",
        "slack.MaxFrequency",
        "sqlite.LocalPath",
        "sqlite.task-ttl",
        "bus.bus",
        "file.access_key",
        "done_topic",
        "file_topic",
        "failed_topic",
    ] {
        assert!(warnings.contains(&format!("{old} in ")), "{old} in\n{warnings}");
    }
    assert!(warnings.contains("is now called notify.min_frequency: 2m"), "{warnings}");
    assert!(warnings.contains("listen: 0.0.0.0:9090, on all addresses, as before"), "{warnings}");
    assert!(warnings.contains("for /metrics if auth.open_metrics"), "{warnings}");
}

#[test]
fn an_old_host_is_linked_to_at_the_port_that_is_listened_on() {
    let link = |file: &str, env: &[(&str, &str)]| load(file, env, &[]).unwrap().config.public_url.unwrap();
    let old = "host = \"h.example\"\nstatus_port = 9090\n";
    assert_eq!(link(old, &[]), "http://h.example:9090");
    assert_eq!(link(old, &[("FLOWLORD_LISTEN", "0.0.0.0:7070")]), "http://h.example:7070");
    assert_eq!(link("host = \"h.example\"\nlisten = \"[::]:6060\"\n", &[]), "http://h.example:6060");
    assert_eq!(link("host = \"https://h.example:443\"\nstatus_port = 9090\n", &[]), "https://h.example:443");
}

#[test]
fn old_flags_are_the_old_keys() {
    let set = |name: &str, value: &str| old_flag(name, value).unwrap().set;
    assert_eq!(set("status-port", "9090"), pairs(&[("listen", "0.0.0.0:9090")]));
    assert_eq!(set("Slack.MinFrequency", "2m"), pairs(&[("notify.min_frequency", "2m")]));
    assert_eq!(set("bus-bus", "nsq"), []);
    let hook = old_flag("slack-url", "https://planted").unwrap();
    assert_eq!(hook.set, pairs(&[("notify.url", "https://planted")]));
    let warnings = hook.warnings.join("\n");
    assert!(warnings.starts_with("slack.url in flag -slack-url is now called notify.url"), "{warnings}");
    assert!(!warnings.contains("planted"), "{warnings}");
    assert_eq!(old_flag("listen", "x"), None);
}

#[test]
fn a_new_key_counts_over_the_old_one_and_json_is_read_too() {
    let loaded = load("status_port = 9090\nlisten = \"127.0.0.1:7070\"\n", &[], &[]).unwrap();
    assert_eq!(loaded.config.listen.port(), 7070);
    assert!(loaded.warnings[0].contains("is set too"), "{:?}", loaded.warnings);

    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        Config::load(&Sources { file: Some(path), ..Sources::default() })
    };
    let json = file("old.json", r#"{"status_port": "9191", "cache": {"Retention": 0}, "tasks": {"lease": "5s"}}"#);
    let config = json.unwrap().config;
    assert_eq!(config.listen.to_string(), "0.0.0.0:9191");
    assert_eq!(config.tasks.lease, TimeDelta::seconds(5));
    assert_eq!(config.history.retention, TimeDelta::days(90));
    assert!(file("old.yaml", "").unwrap_err().to_string().contains("as TOML or JSON"));
}

#[test]
fn the_old_access_key_is_for_s3_and_for_gcs() {
    let old = "[file]\naccess_key = \"GOOG1E\"\nsecret_key = \"planted\"\n";
    let loaded = load(old, &[], &[]).unwrap();
    let StorageConfig { s3, gcs_key, .. } = &loaded.config.store;
    assert_eq!(s3.access_key.as_deref(), Some("GOOG1E"));
    assert_eq!(gcs_key, &Some(HmacKey { access_key: "GOOG1E".to_owned(), secret_key: HiddenValue::new("planted") }));
    let warnings = loaded.warnings.join("\n");
    for said in ["is now called store.gcs.access_key: GOOG1E", "is now called store.gcs.secret_key: ***"] {
        assert!(warnings.contains(said), "{said} in\n{warnings}");
    }
    assert!(!format!("{warnings}{}", loaded.to_toml()).contains("planted"));

    let endpoint = format!("{old}[store.gcs]\nendpoint = \"http://gcs.example\"\n");
    assert!(load(&endpoint, &[], &[]).unwrap().config.store.gcs_key.is_some());

    // An account of GCS goes over it.
    let account = [("GOOGLE_APPLICATION_CREDENTIALS", "/run/account.json")];
    assert_eq!(load(old, &account, &[]).unwrap().config.store.gcs_key, None);
    for account in ["json_auth = \"/run/account.json\"", "[store.gcs]\ncredentials_file = \"/run/account.json\""] {
        let gcs_key = load(&format!("{old}{account}\n"), &[], &[]).unwrap().config.store.gcs_key;
        assert_eq!(gcs_key, None, "{account}");
    }
}
