mod bounds;
mod old;

use std::path::Path;

use flowlord_domain::escalation::EscalationPolicy;
use flowlord_storage::HiddenValue;

use super::*;

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// Loads with a file of this text, variables and flags.
fn load(file: &str, env: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<LoadedConfig, ConfigErrors> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flowlord.toml");
    std::fs::write(&path, file).unwrap();
    Config::load(&Sources { flags: pairs(flags), env: pairs(env), file: Some(path), ..Sources::default() })
}

fn error(file: &str, env: &[(&str, &str)], flags: &[(&str, &str)]) -> String {
    let error = load(file, env, flags).unwrap_err();
    assert_eq!(error.0.len(), 1, "{error}");
    error.to_string()
}

fn minutes(minutes: i64) -> TimeDelta {
    TimeDelta::minutes(minutes)
}

#[test]
fn without_anything_the_defaults_count() {
    let loaded = Config::load(&Sources::default()).unwrap();
    assert_eq!(loaded.config, Config::default());
    assert_eq!(loaded.warnings, Vec::<String>::new());
    let config = loaded.config;
    assert_eq!(config.workflow.to_string(), "./workflows");
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    assert_eq!((config.refresh, config.tasks.ttl, config.tasks.lease), (minutes(15), minutes(240), minutes(1)));
    assert_eq!((config.notify.ladder, config.notify.routes.len()), (EscalationPolicy::default(), 0));
    assert_eq!((config.history.retention, config.backup.keep), (TimeDelta::days(90), 7));
    assert_eq!(config.notify.api_url, "https://slack.com/api/");
}

#[test]
fn a_flag_goes_over_a_variable_over_the_file_over_the_default() {
    let file = "refresh = \"1m\"\n[tasks]\nlease = \"10s\"\nttl = \"1h\"\n";
    let env = [("FLOWLORD_REFRESH", "2m"), ("FLOWLORD_TASKS__LEASE", "20s"), ("HOME", "/root")];
    let config = load(file, &env, &[("refresh", "3m")]).unwrap().config;
    assert_eq!(config.refresh, minutes(3));
    assert_eq!(config.tasks.lease, TimeDelta::seconds(20));
    assert_eq!(config.tasks.ttl, minutes(60));
    assert_eq!(config.history.retention, TimeDelta::days(90));
}

#[test]
fn what_an_image_carries_goes_over_the_defaults_only() {
    let image = [
        ("FLOWLORD_IMAGE__LISTEN", "0.0.0.0:8080"),
        ("FLOWLORD_IMAGE__WORKFLOW", "/workflows"),
        ("FLOWLORD_IMAGE__DATA", "/data"),
    ];
    let loaded = load("", &image, &[]).unwrap();
    assert_eq!(loaded.config.listen.to_string(), "0.0.0.0:8080");
    let printed = loaded.to_toml();
    assert!(printed.contains("data = \"/data\"  # image variable FLOWLORD_IMAGE__DATA"), "{printed}");

    let file = "listen = \"127.0.0.1:9090\"\nworkflow = \"gs://bucket/flows\"\n";
    let config = load(file, &image, &[]).unwrap().config;
    assert_eq!((config.listen.port(), config.workflow.to_string().as_str()), (9090, "gs://bucket/flows"));
    assert_eq!(config.public_url_at(config.listen), "http://localhost:9090", "links follow");
    assert_eq!(config.data, Path::new("/data"));
    let both = [image[0], ("FLOWLORD_LISTEN", "127.0.0.1:7070")];
    assert_eq!(load(file, &both, &[]).unwrap().config.listen.port(), 7070);
    assert_eq!(load(file, &both, &[("listen", "127.0.0.1:6060")]).unwrap().config.listen.port(), 6060);

    let wrong = error("", &[("FLOWLORD_IMAGE__LISTEN", "nowhere")], &[]);
    assert!(wrong.starts_with("listen in image variable FLOWLORD_IMAGE__LISTEN: "), "{wrong}");
    let unknown = error("", &[("FLOWLORD_IMAGE__LISSTEN", "x")], &[]);
    assert!(unknown.contains("FLOWLORD_IMAGE__LISSTEN: did you mean listen?"), "{unknown}");
}

#[test]
fn an_empty_variable_that_takes_a_value_away_is_named() {
    let file = "refresh = \"1m\"\n[backup]\npath = \"/backup\"\n";
    let loaded = load(file, &[("FLOWLORD_BACKUP__PATH", ""), ("FLOWLORD_NOTIFY__URL", "")], &[]).unwrap();
    assert_eq!((loaded.config.backup.path, loaded.warnings.len()), (None, 1), "{:?}", loaded.warnings);
    let warning = &loaded.warnings[0];
    let start = "environment variable FLOWLORD_BACKUP__PATH is empty and overrides backup.path in ";
    assert!(warning.starts_with(start) && warning.contains("flowlord.toml"), "{warning}");
}

#[test]
fn the_data_folder_is_known_whatever_is_wrong_elsewhere() {
    let sources = |env: &[(&str, &str)]| Sources { env: pairs(env), ..Sources::default() };
    let folder = |env| Config::data_folder(&sources(env));
    assert_eq!(folder(&[]).unwrap(), Path::new("./data"));
    let env = [("FLOWLORD_IMAGE__DATA", "/data"), ("FLOWLORD_LISTEN", "nowhere")];
    assert_eq!(folder(&env).unwrap(), Path::new("/data"));
    assert!(folder(&[("FLOWLORD_CONFIG", "/is/not/there.toml")]).unwrap_err().to_string().contains("can't be read"));
}

#[test]
fn a_byte_order_mark_before_a_file_is_skipped() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, format!("\u{feff}{text}")).unwrap();
        path
    };
    let secret = write("token", "xoxb-1\n");
    let toml = format!("[notify]\nchannel = \"#c\"\ntoken_file = {secret:?}\n");
    let json = format!(r##"{{"notify": {{"channel": "#c", "token_file": {secret:?}}}}}"##);
    for file in [write("flowlord.toml", &toml), write("flowlord.json", &json)] {
        let loaded = Config::load(&Sources { file: Some(file), ..Sources::default() }).unwrap();
        assert_eq!(loaded.config.notify.token.unwrap().expose(), "xoxb-1");
    }
    let empty = write("empty", "");
    let error = error("", &[], &[("notify.url_file", &empty.display().to_string())]);
    assert!(error.ends_with("is empty"), "{error}");
}

#[test]
fn the_file_is_the_named_one_else_the_one_of_the_environment_else_the_usual_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, format!("[notify]\ntitle = \"{name}\"\n")).unwrap();
        path
    };
    let variable = file("variable.toml").display().to_string();
    let mut sources = Sources {
        flags: Vec::new(),
        env: pairs(&[("FLOWLORD_CONFIG", &variable)]),
        file: Some(file("flag.toml")),
        default_file: Some(file("usual.toml")),
        defaults: pairs(&[("notify.prefix", "demo")]),
    };
    let mut title = |change: fn(&mut Sources)| {
        change(&mut sources);
        Config::load(&sources).unwrap().config.notify.title
    };
    assert_eq!(title(|_| ()), "flag.toml");
    assert_eq!(title(|sources| sources.file = None), "variable.toml");
    assert_eq!(title(|sources| sources.env.clear()), "usual.toml");
    assert_eq!(title(|sources| sources.default_file = Some("is-not-there.toml".into())), "");
    sources.file = Some("is-not-there.toml".into());
    assert!(Config::load(&sources).unwrap_err().to_string().starts_with("is-not-there.toml can't be read"));
}

#[test]
fn values_of_variables_stay_the_texts_they_are() {
    let env = [
        ("FLOWLORD_NOTIFY__TOKEN", "00123"),
        ("FLOWLORD_NOTIFY__CHANNEL", "#data"),
        ("FLOWLORD_NOTIFY__TITLE", "[a]"),
        ("FLOWLORD_AUTH__OPEN_METRICS", "true"),
        ("FLOWLORD_FILES__FOLDERS", "/in, /drop"),
    ];
    let config = load("", &env, &[]).unwrap().config;
    assert_eq!(config.notify.token.unwrap().expose(), "00123");
    assert_eq!(config.notify.channel.as_deref(), Some("#data"));
    assert_eq!(config.notify.title, "[a]");
    assert!(config.auth.open_metrics);
    let places: Vec<String> = config.files.folders.iter().map(ToString::to_string).collect();
    assert_eq!(places, ["/in", "/drop"]);
}

#[test]
fn variables_of_commands_and_container_platforms_are_no_keys() {
    let env = [
        ("FLOWLORD_SERVER", "http://x"),
        ("FLOWLORD_SERVICE_HOST", "10.0.0.1"),
        ("FLOWLORD_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
        ("FLOWLORD_NODES_SERVICE_HOST", "10.0.0.1"),
        ("FLOWLORD_NODES_SERVICE_PORT_HTTP", "8080"),
        ("FLOWLORD_NODES_PORT", "tcp://10.0.0.1:8080"),
        ("FLOWLORD_NODES_PORT_8080_TCP_ADDR", "10.0.0.1"),
        ("FLOWLORD_META_FILE", "x"),
        ("FLOWLORD_INFO", "?date=2024-01-15"),
    ];
    assert_eq!(load("", &env, &[]).unwrap().config, Config::default());
}

#[test]
fn an_unknown_key_names_its_source_and_the_nearest_known_one() {
    let file_error = error("[tasks]\nleese = \"60s\"\n", &[], &[]);
    assert!(file_error.starts_with("unknown key tasks.leese in "), "{file_error}");
    assert!(file_error.ends_with("flowlord.toml: did you mean tasks.lease?"), "{file_error}");
    assert_eq!(
        error("", &[("FLOWLORD_TASK__TTL", "4h")], &[]),
        "unknown key task.ttl in environment variable FLOWLORD_TASK__TTL: did you mean tasks.ttl?"
    );
    assert_eq!(
        error("", &[], &[("min_frequency", "5m")]),
        "unknown key min_frequency in flag --min-frequency: did you mean notify.min_frequency?"
    );
    let hopeless = error("xyzzy = 1\n", &[], &[]);
    assert!(hopeless.ends_with("`flowlord serve --print-config` lists all keys"), "{hopeless}");
}

#[test]
fn a_section_is_no_value_and_a_value_no_section() {
    assert!(error("tasks = \"60s\"\n", &[], &[]).contains("is a section: write [tasks]"));
    assert!(error("[refresh]\nevery = \"1m\"\n", &[], &[]).contains("is one value, not a section"));
}

#[test]
fn a_bad_value_names_its_key_its_source_and_what_to_write() {
    let cases = [
        ("tasks.lease", "60", "write it like 250ms, 90s, 5m, 4h or 90d"),
        ("tasks.lease", "1s", "`1s` is out of range: write 5s to 1d"),
        ("notify.max_frequency", "1m", "`1m` is out of range: write 5m to 30d"),
        ("listen", "8080", "write an address with its port, like 127.0.0.1:8080"),
        ("timezone", "Mars/Phobos", "write it like UTC or Europe/Berlin"),
        ("backup.keep", "0", "write a number from 1 to 10000"),
        ("auth.open_metrics", "yes", "write true or false"),
        ("public_url", "flowlord.example.com", "begins with http:// or https://"),
        ("public_url", "https://flowlord.example.com/flow?day=1", "write it without `?` and `#`"),
        ("public_url", "https://flowlord.example.com/web", "so write another path, like /flowlord/web"),
        ("workflow", "", "name a file or a folder, like \"./workflows\" or \"s3://bucket/workflows\""),
        ("backup.path", "ftp://host/b", "write a path, or file://, s3:// or gs:// before it"),
        ("workflow", "mc://minio:9000/b", "write s3://b, and set store.s3.endpoint = \"http://minio:9000\""),
        ("workflow", "s3:///x", "name a bucket"),
        ("store.s3.endpoint", "minio:9000", "begins with http:// or https://"),
        ("store.s3.secret_key_file", "/is/not/there", "/is/not/there can't be read"),
        ("data", "", "name a folder"),
        ("store.gcs.access_key", "GOOG1E", "set store.gcs.secret_key too"),
        ("store.gcs.secret_key", "x", "set store.gcs.access_key too"),
        ("notify.url_file", "/is/not/there", "/is/not/there can't be read"),
    ];
    for (key, value, what) in cases {
        let error = error("", &[], &[(key, value)]);
        let flag = key.replace(['.', '_'], "-");
        assert!(error.starts_with(&format!("{key} in flag --{flag}: ")), "{error}");
        assert!(error.contains(what), "{error}");
    }
}

#[test]
fn everything_wrong_is_said_at_once() {
    let error = load("refresh = 15\n[tasks]\nlease = \"1s\"\n", &[("FLOWLORD_X", "")], &[]).unwrap_err();
    assert_eq!(error.0.len(), 3, "{error}");
    let broken = load("refresh = \n", &[], &[]).unwrap_err().to_string();
    assert!(broken.contains("flowlord.toml can't be read") && broken.contains("line 1"), "{broken}");
}

#[test]
fn a_webhook_and_a_bot_token_exclude_each_other_and_a_token_needs_a_channel() {
    let both = [("notify.url", "https://x/y"), ("notify.token", "t"), ("notify.channel", "#c")];
    assert!(error("", &[], &both).contains("keep the webhook or the bot token"));
    assert!(error("", &[], &both[1..2]).contains("needs notify.channel"));
    let wrong = error("", &[], &[("notify.app_token", "xoxb-planted")]);
    assert!(wrong.contains("begins with xapp-") && !wrong.contains("planted"), "{wrong}");
    for (key, value) in [("notify.app_token", "xapp-planted"), ("notify.signing_secret", "planted")] {
        let loaded = load("", &[], &[(key, value)]).unwrap();
        let warnings = loaded.warnings.join("\n");
        assert!(warnings.contains(key) && warnings.contains("set notify.token"), "{warnings}");
        assert!(!loaded.config.notify.hears_clicks() && !loaded.to_toml().contains("planted"));
        let bot = [(key, value), ("notify.token", "t"), ("notify.channel", "#c")];
        assert!(load("", &[], &bot).unwrap().config.notify.hears_clicks());
    }
    assert!(load("", &[], &both[1..]).is_ok());
}

#[test]
fn secrets_come_from_files_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("webhook");
    std::fs::write(&path, "https://hooks.example/secret\n").unwrap();
    let path = path.display().to_string();
    let config = load("", &[], &[("notify.url_file", &path)]).unwrap().config;
    assert_eq!(config.notify.url.unwrap().expose(), "https://hooks.example/secret");
    let both = [("notify.url_file", path.as_str()), ("notify.url", "https://x")];
    assert!(error("", &[], &both).contains("keep one of them"));
    std::fs::write(&path, "not-an-address").unwrap();
    let error = error("", &[], &[("notify.url_file", &path)]);
    assert!(!error.contains("not-an-address"), "{error}");
}

#[test]
fn beyond_this_machine_tokens_are_asked_for_unless_that_is_meant() {
    let open = [("listen", "0.0.0.0:8080")];
    assert!(!load("", &[], &open).unwrap().config.is_open());
    let loaded = load("[auth]\nallow_anonymous = true\n", &[], &open).unwrap();
    assert!(loaded.config.is_open());
    assert!(loaded.warnings[0].contains("everybody who can reach the port"), "{:?}", loaded.warnings);
    for local in ["localhost:0", "[::1]:8080", "127.0.0.2:1"] {
        let loaded = load("", &[], &[("listen", local)]).unwrap();
        assert!(loaded.config.is_open() && loaded.warnings.is_empty(), "{local}");
        assert!(!load("[auth]\nrequired = true\n", &[], &[("listen", local)]).unwrap().config.is_open());
    }
    let both = "[auth]\nrequired = true\nallow_anonymous = true\n";
    assert!(error(both, &[], &[]).contains("keep one of them"));
}

#[test]
fn watched_places_are_apart_and_can_be_read() {
    let config = load("", &[], &[("files.folders", "/in, s3://b/in,gs://b")]).unwrap().config;
    assert_eq!(config.files.folders.len(), 3);
    for (folders, says) in [
        ("/in,/in/deep", "/in/deep is within /in"),
        ("s3://b/in,s3://b", "s3://b/in is within s3://b"),
        ("/in,/in", "/in is within /in"),
        ("ftp://x", "write a path, or file://"),
    ] {
        let told = error("", &[], &[("files.folders", folders)]);
        assert!(told.contains("files.folders") && told.contains(says), "{told}");
    }
    load("", &[], &[("files.folders", "/in,/inner")]).unwrap();
    let warnings = load("", &[], &[("files.every", "5s")]).unwrap().warnings;
    assert!(warnings[0].contains("there are no files.folders"), "{warnings:?}");
}

#[test]
fn stores_are_reached_by_keys_files_and_the_usual_variables() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "planted\n").unwrap();
    let file = format!(
        "workflow = \"s3://bucket/flows/\"\n[store.s3]\nendpoint = \"http://minio:9000/\"\naccess_key = \"AKIA\"\n\
         secret_key_file = {secret:?}\n[store.gcs]\ncredentials_file = \"/run/gcs.json\"\n[files]\nallow = [\"/rows\"]\n"
    );
    let env = [("AWS_REGION", "eu-central-1"), ("AWS_PROFILE", ""), ("GOOGLE_BUCKET", "planted"), ("HOME", "/")];
    let loaded = load(&file, &env, &[]).unwrap();
    assert_eq!(loaded.warnings, Vec::<String>::new());
    let (config, printed) = (&loaded.config, loaded.to_toml());
    assert_eq!(config.workflow.to_string(), "s3://bucket/flows");
    assert_eq!(config.files.allow, [Path::new("/rows")]);
    let StorageConfig { s3, gcs, env, .. } = &config.store;
    assert_eq!((s3.endpoint.as_deref(), s3.access_key.as_deref()), (Some("http://minio:9000"), Some("AKIA")));
    assert_eq!(s3.secret_key, Some(HiddenValue::new("planted")));
    assert_eq!(gcs.credentials_file.as_deref(), Some(Path::new("/run/gcs.json")));
    assert_eq!(env.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["AWS_REGION", "GOOGLE_BUCKET"]);
    assert!(printed.contains("secret_key = \"***\""), "{printed}");
    assert!(!format!("{config:?}{printed}").contains("planted"), "{config:?}");
}

#[test]
fn links_lead_to_the_public_address_else_to_this_machine() {
    let at = |text: &str| text.parse::<SocketAddr>().unwrap();
    let mut config = Config::default();
    assert_eq!(config.public_url_at(at("127.0.0.1:40123")), "http://localhost:40123");
    assert_eq!(config.public_url_at(at("10.1.2.3:80")), "http://10.1.2.3:80");
    config = load("public_url = \"https://flowlord.example.com/\"\n", &[], &[]).unwrap().config;
    assert_eq!(config.public_url_at(at("127.0.0.1:1")), "https://flowlord.example.com");
    config = load("public_url = \"https://example.com//flow/\"\n", &[], &[]).unwrap().config;
    assert_eq!(config.public_url_at(at("127.0.0.1:1")), "https://example.com/flow");
}

#[test]
fn the_effective_values_print_as_toml_without_secrets() {
    let file = "[notify]\ntoken = \"xoxb-planted\"\nchannel = \"#a \\\"b\\\"\"\n[files]\nfolders = [\"/in\", \"/x\"]\n";
    let env = [("FLOWLORD_STORE__S3__SECRET_KEY", "planted-too"), ("FLOWLORD_TASKS__LEASE", "90s")];
    let loaded = load(file, &env, &[]).unwrap();
    let printed = loaded.to_toml();
    assert!(!printed.contains("planted"), "{printed}");
    assert!(!format!("{:?}", loaded.config).contains("planted"));
    for line in [
        "token = \"***\"",
        "secret_key = \"***\"",
        "lease = \"90s\"  # environment variable FLOWLORD_TASKS__LEASE",
        "refresh = \"15m\"\n",
        "channel = \"#a \\\"b\\\"\"",
        "folders = [\"/in\", \"/x\"]",
        "keep = 7",
        "allow_anonymous = false",
        "required = false",
        "max_frequency = \"1h20m\"",
    ] {
        assert!(printed.contains(line), "{line} in\n{printed}");
    }
    let again = load(&printed, &[], &[]).unwrap().config;
    assert_eq!((again.tasks, again.files), (loaded.config.tasks, loaded.config.files));
}

#[test]
fn routes_say_what_they_take_and_otherwise_do_as_usual() {
    let folder = tempfile::tempdir().unwrap();
    let hook = folder.path().join("hook");
    std::fs::write(&hook, "https://hooks.example/planted").unwrap();
    let file = format!(
        r##"
[notify]
token = "xoxb-planted"
channel = "#data"
min_frequency = "2m"
factor_up = 3
quiet_hours = "22:00-07:00"
quiet_zone = "Europe/Berlin"
fallback = "etl"
[notify.routes.etl]
workflow = "etl/*"
channel = "#etl"
[notify.routes.20-night]
type = "report*"
job = "daily"
url_file = {hook:?}
min_frequency = "10m"
factor_down = "1.5"
quiet_ticks = 2
quiet_hours = "00:00-06:00"
fallback = "etl"
"##
    );
    let env = [("FLOWLORD_NOTIFY__ROUTES__ETL__TYPE", "load")];
    let loaded = load(&file, &env, &[]).unwrap();
    assert_eq!(loaded.warnings, Vec::<String>::new());
    let notify = &loaded.config.notify;
    let names: Vec<_> = notify.routes.iter().map(|route| route.name.as_str()).collect();
    assert_eq!(names, ["20-night", "etl"], "in the order of their names");
    let [night, etl] = &notify.routes[..] else { unreachable!() };
    assert_eq!(etl.matcher.to_string(), "type=load workflow=etl/*");
    assert_eq!((etl.ladder, etl.quiet, etl.fallback.as_str()), (notify.ladder, None, "default"));
    assert_eq!((notify.ladder.min_interval, notify.ladder.max_interval), (minutes(2), minutes(32)));
    assert_eq!((night.ladder.min_interval, night.ladder.max_interval), (minutes(10), minutes(160)));
    let factors = (night.ladder.factor_up.to_string(), night.ladder.factor_down.to_string());
    assert_eq!((factors.0.as_str(), factors.1.as_str(), night.ladder.quiet_checks), ("3.0", "1.5", 2));
    assert_eq!(night.url.as_ref().unwrap().expose(), "https://hooks.example/planted");
    assert_eq!(night.quiet.unwrap().to_string(), "00:00-06:00");
    let printed = loaded.to_toml();
    for line in [
        "[notify.routes.20-night]\ntype = \"report*\"",
        "url = \"***\"",
        "max_frequency = \"2h40m\"",
        "type = \"load\"  # environment variable FLOWLORD_NOTIFY__ROUTES__ETL__TYPE",
        "quiet_ticks = 2",
    ] {
        assert!(printed.contains(line), "{line} in\n{printed}");
    }
    assert!(!format!("{printed}{:?}", loaded.config).contains("planted"));
}

#[test]
fn what_is_wrong_with_a_route_says_what_to_write() {
    for (route, what) in [
        ("etl]\nworkflow = \"x\"", "it has no destination: give it a url (a webhook) or a channel"),
        ("etl]\ntype = \"x\"\nchannel = \"#c\"", "a channel needs the bot of notify.token"),
        ("etl]\ntype = \"x\"\nurl = \"https://planted\"\nchannel = \"#c\"", "a channel is set too"),
        ("etl]\ntype = \"x\"\nurl = \"planted\"", "write an address that begins with https://"),
        (
            "etl]\ntype = \"x\"\nurl = \"https://h\"\nfallback = \"elt\"",
            "`elt` is not another route: there are default",
        ),
        ("default]\ntype = \"x\"\nurl = \"https://h\"", "the default route is [notify] itself"),
        ("ETL-ü]\ntype = \"x\"\nurl = \"https://h\"", "lower-case letters"),
        ("etl]\ntype = \"x\"\nurl = \"https://h\"\nquiet_hours = \"night\"", "like 22:00-07:00"),
        ("etl]\ntype = \"x\"\nurl = \"https://h\"\nfactor_down = 1", "write 1.1 or more"),
        ("etl]\ntype = \"x\"\nurl = \"https://h\"\nquiet_ticks = 0", "write a number from 1 to 1000"),
        ("etl]\ntype = \"x\"\nchanel = \"#c\"", "did you mean notify.routes.etl.channel?"),
        ("etl.more]\ntype = \"x\"", "unknown key notify.routes.etl.more.type"),
    ] {
        let file = format!("[notify.routes.{route}\n").replace("ETL-ü", "\"ETL-ü\"");
        let errors = load(&file, &[], &[]).unwrap_err().to_string();
        assert!(errors.contains(what), "{file}: {errors}");
        assert!(!errors.contains("planted"), "{errors}");
    }
    let all = load("[notify.routes.etl]\nurl = \"https://h\"\n", &[], &[]).unwrap();
    assert!(all.warnings[0].contains("it matches all alerts"), "{:?}", all.warnings);
    assert!(error("[notify]\nfallback = \"etl\"\n", &[], &[]).contains("`etl` is not another route: there are none"));
    let zone = load("[notify]\nquiet_zone = \"UTC\"\n", &[], &[]).unwrap();
    assert!(zone.warnings[0].contains("notify.quiet_hours is not set"), "{:?}", zone.warnings);
    assert!(error("[notify]\nfactor_up = \"fast\"\n", &[], &[]).contains("`fast` is not a factor"));
    assert!(error("[notify]\nroutes = \"x\"\n", &[], &[]).contains("notify.routes"));
}

#[test]
fn a_node_of_a_cluster_has_a_name_an_address_and_a_place() {
    let place = "[backup]\npath = \"/backup\"\n";
    let node = |cluster: &str| format!("{place}[cluster]\n{cluster}");
    assert_eq!(load(place, &[], &[]).unwrap().config.cluster, None);
    let config = load(&node("node = \"a-1\"\nurl = \"http://10.0.0.5:8080/\"\n"), &[], &[]).unwrap().config;
    let address = NodeAddress { node: "a-1".to_owned(), url: "http://10.0.0.5:8080".to_owned() };
    assert_eq!(config.cluster, Some(ClusterConfig { address, log: None, is_standby: false }));
    for (cluster, expected) in [
        ("node = \"a\"\n", "cluster.url: the other nodes"),
        ("url = \"http://a\"\n", "cluster.node: a node of a cluster needs a name"),
        ("node = \"a/b\"\nurl = \"http://a\"\n", "letters, digits, dots, dashes and underscores"),
        ("node = \"a\"\nurl = \"a:8080\"\n", "begins with http:// or https://"),
        ("log = \"http://a\"\n", "write `place`, or servers as in nats://"),
        ("log = \"nats://me:planted@a\"\n", "cluster.credentials"),
        ("log = \"nats://a\"\ncredentials = \"-----BEGIN NATS USER JWT-----\"\n", "this isn't a .creds file"),
        ("monitor = \"nats:8222\"\n", "as in http://nats:8222"),
    ] {
        let said = error(&node(cluster), &[], &[]);
        assert!(said.contains(expected), "{said}");
    }
    let both = "node = \"a\"\nurl = \"http://a\"\n";
    let without = error(&format!("[cluster]\n{both}"), &[], &[]);
    assert!(without.contains("set backup.path, and backup.ship_every to more than 0s"), "{without}");
    let never = error(&format!("{place}ship_every = \"0s\"\n[cluster]\n{both}"), &[], &[]);
    assert!(never.contains("backup.ship_every"), "{never}");
}

#[test]
fn sizes_are_written_with_their_unit() {
    let logs =
        |max_total: &str| load(&format!("[logs]\nmax_total = \"{max_total}\"\n"), &[], &[]).map(|it| it.config.logs);
    let defaults = LogConfig { keep: TimeDelta::days(14), max_task: 256_000, max_total: 2_000_000_000 };
    assert_eq!(Config::default().logs, defaults);
    for (text, bytes) in
        [("10MB", 10_000_000), ("500 mb", 500_000_000), ("20000000B", 20_000_000), ("1TB", 1_000_000_000_000)]
    {
        assert_eq!(logs(text).unwrap().max_total, bytes, "{text}");
    }
    for text in ["", "10", "9MB", "MB", "1.5GB", "11TB", "99999999999TB", "-1MB"] {
        let error = logs(text).unwrap_err().to_string();
        assert!(error.ends_with(&format!("`{text}`: write a size from 10MB to 10TB")), "{error}");
    }
}

#[test]
fn links_have_any_name_and_a_template_that_can_be_filled() {
    let file = "[links]\ngrafana = \"https://g/?uid={uid}\"\nlogs = \"http://l/{started_ms}\"\n";
    let loaded = load(file, &[("FLOWLORD_LINKS__MORE", "https://m")], &[]).unwrap();
    let names: Vec<&str> = loaded.config.links.iter().map(TaskLink::name).collect();
    assert_eq!(names, ["grafana", "logs", "more"]);
    assert!(loaded.to_toml().contains("[links]\ngrafana = \"https://g/?uid={uid}\"  # "), "{}", loaded.to_toml());
    let wrong = error("[links]\nlog = \"https://h/{info}\"\n", &[], &[]);
    assert!(wrong.starts_with("links.log in ") && wrong.contains("there is no {info}"), "{wrong}");
    assert!(error("[links.log]\nurl = \"https://h\"\n", &[], &[]).contains("links.log"));
}

#[test]
fn groups_have_limits_and_names_that_rules_can_have() {
    let file = "[groups]\nwarehouse = 4\n";
    let loaded = load(file, &[("FLOWLORD_GROUPS__LAKE", "2")], &[]).unwrap();
    let groups: Vec<_> = loaded.config.groups.iter().map(|(name, max)| (name.as_str(), *max)).collect();
    assert_eq!(groups, [("lake", 2), ("warehouse", 4)]);
    for (file, says) in [
        ("[groups]\na = 0\n", "groups.a"),
        ("[groups]\n\"a b\" = 1\n", "the name of a group has letters, digits, dashes and underscores"),
        ("groups = 4\n", "is a section: write [groups]"),
    ] {
        let error = error(file, &[], &[]);
        assert!(error.contains(says), "{error}");
    }
}
