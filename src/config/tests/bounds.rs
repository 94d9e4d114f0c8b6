//! The least and the most of each value, and what a value beyond them is told.

use super::*;

/// What is wrong with a value of a key, without where it stands.
fn refusal(key: &str, value: &str) -> String {
    let error = error("", &[], &[(key, value)]);
    error.split_once(": ").map(|(_, what)| what.to_owned()).unwrap_or(error)
}

fn is_taken(key: &str, value: &str) -> bool {
    load("", &[], &[(key, value)]).is_ok()
}

#[test]
fn a_duration_may_be_as_short_and_as_long_as_its_error_says() {
    for (key, least, less, most, more) in [
        ("refresh", "1s", "999ms", "365d", "8761h"),
        ("tasks.ttl", "1s", "999ms", "365d", "8761h"),
        ("tasks.lease", "5s", "4999ms", "24h", "86401s"),
        ("history.retention", "24h", "23h", "36500d", "36501d"),
        ("logs.keep", "1d", "23h", "3650d", "3651d"),
        ("backup.every", "1m", "59s", "365d", "366d"),
        ("files.every", "1s", "999ms", "1d", "25h"),
        ("deadman.every", "1s", "999ms", "1d", "25h"),
        ("notify.fallback_after", "1s", "999ms", "1d", "25h"),
        ("notify.min_frequency", "1s", "999ms", "1d", "25h"),
    ] {
        assert!(is_taken(key, least) && is_taken(key, most), "{key}: {least} to {most}");
        for outside in [less, more] {
            let refused = refusal(key, outside);
            assert!(refused.starts_with(&format!("`{outside}` is out of range: write ")), "{key}: {refused}");
        }
    }
}

#[test]
fn some_durations_may_be_none() {
    for (key, more) in [("tasks.no_workers", "366d"), ("backup.ship_every", "61m")] {
        assert!(is_taken(key, "0s"), "{key}");
        assert!(refusal(key, "-1s").contains("-1s"), "{key}");
        assert!(refusal(key, more).contains("is out of range"), "{key}");
    }
}

#[test]
fn a_number_may_be_as_small_and_as_large_as_its_error_says() {
    for (key, least, most) in [
        ("backup.keep", 1_u64, 10_000),
        ("limits.connections", 10, 1_000_000),
        ("limits.long_polls", 1, 1_000_000),
        ("notify.quiet_ticks", 1, 1_000),
    ] {
        assert!(is_taken(key, &least.to_string()) && is_taken(key, &most.to_string()), "{key}");
        for outside in
            [(least - 1).to_string(), (most + 1).to_string(), "-1".to_owned(), "1.5".to_owned(), "many".to_owned()]
        {
            assert_eq!(refusal(key, &outside), format!("`{outside}`: write a number from {least} to {most}"), "{key}");
        }
    }
}

#[test]
fn a_size_may_be_as_small_and_as_large_as_its_error_says() {
    for (key, least, less, most, more) in [
        ("logs.max_task", "4kB", "3999B", "16MB", "16000001B"),
        ("logs.max_total", "10MB", "9999kB", "10TB", "10001GB"),
    ] {
        assert!(is_taken(key, least) && is_taken(key, most), "{key}");
        for outside in [less, more] {
            assert_eq!(refusal(key, outside), format!("`{outside}`: write a size from {least} to {most}"), "{key}");
        }
    }
}

#[test]
fn the_longest_pause_is_sixteen_times_the_shortest_unless_it_is_said() {
    let ladder = |flags: &[(&str, &str)]| load("", &[], flags).unwrap().config.notify.ladder;
    let usual = ladder(&[("notify.min_frequency", "10m")]);
    assert_eq!((usual.min_interval, usual.max_interval), (minutes(10), minutes(160)));
    let said = ladder(&[("notify.min_frequency", "10m"), ("notify.max_frequency", "10m")]);
    assert_eq!((said.min_interval, said.max_interval), (minutes(10), minutes(10)));
    let long = ladder(&[("notify.max_frequency", "30d")]);
    assert_eq!(long.max_interval, TimeDelta::days(30));
    assert!(refusal("notify.max_frequency", "31d").contains("write 5m to 30d"));
}

#[test]
fn an_interval_comes_down_again_by_a_factor_of_more_than_one() {
    assert!(is_taken("notify.factor_up", "1"), "it need not grow");
    assert!(refusal("notify.factor_down", "1").starts_with("`1` is too small: write "));
    for key in ["notify.factor_up", "notify.factor_down"] {
        assert!(is_taken(key, "1.5") && is_taken(key, ""), "{key}: the usual one where nothing is said");
        for wrong in ["0.5", "x", "-2"] {
            assert!(!is_taken(key, wrong), "{key} {wrong}");
        }
    }
}

#[test]
fn an_address_has_a_number_or_is_localhost() {
    let listen = |text: &str| load("", &[], &[("listen", text)]).map(|loaded| loaded.config.listen.to_string());
    assert_eq!(listen("localhost:8080").unwrap(), "127.0.0.1:8080");
    assert_eq!(listen("[::1]:80").unwrap(), "[::1]:80");
    for wrong in ["myhost:8080", "localhost", "127.0.0.1", "127.0.0.1:65536"] {
        assert_eq!(refusal("listen", wrong), format!("`{wrong}`: write an address with its port, like 127.0.0.1:8080"));
    }
}

#[test]
fn addresses_of_others_begin_with_http_and_end_without_a_slash() {
    let endpoint =
        |url: &str| load("", &[], &[("store.s3.endpoint", url)]).map(|loaded| loaded.config.store.s3.endpoint);
    assert_eq!(endpoint("https://minio:9000///").unwrap().as_deref(), Some("https://minio:9000"));
    assert_eq!(endpoint("").unwrap(), None);
    for wrong in ["http://", "https://", "ftp://minio", "minio"] {
        assert_eq!(
            refusal("store.s3.endpoint", wrong),
            format!("`{wrong}`: write an address that begins with http:// or https://")
        );
    }
}

#[test]
fn a_secret_is_given_once_and_never_shown_where_it_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (full, empty) = (file("url", "\u{feff}https://h/s3cret \n"), file("empty", " \n"));
    let url = load("", &[], &[("deadman.url_file", &full)]).unwrap().config.deadman.url;
    assert_eq!(url.unwrap().expose(), "https://h/s3cret", "without its mark and the end of its line");
    assert!(refusal("deadman.url_file", &empty).ends_with("empty is empty"));
    let both = error("", &[], &[("deadman.url", "https://h/s3cret"), ("deadman.url_file", &full)]);
    assert!(both.contains("deadman.url is set too: keep one of them") && !both.contains("s3cret"), "{both}");
    let wrong = error("", &[], &[("deadman.url", "s3cret")]);
    assert!(wrong.contains("write an address that begins with https://") && !wrong.contains("s3cret"), "{wrong}");
}

#[test]
fn lists_are_written_with_commas_or_as_lists() {
    let folders = |file: &str, flags: &[(&str, &str)]| {
        let config = load(file, &[], flags).unwrap().config;
        config.files.allow.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>()
    };
    assert_eq!(folders("[files]\nallow = [\"/a\", \"/b\"]\n", &[]), ["/a", "/b"]);
    assert_eq!(folders("", &[("files.allow", " /a , ,/b,")]), ["/a", "/b"]);
    assert!(folders("", &[("files.allow", "")]).is_empty());
}

#[test]
fn a_certificate_and_its_key_come_together() {
    assert!(error("", &[], &[("tls.cert", "c.pem")]).contains("a certificate needs its key: set tls.key too"));
    assert!(error("", &[], &[("tls.key", "k.pem")]).contains("a key needs its certificate: set tls.cert too"));
}

#[test]
fn a_node_has_a_name_that_can_be_a_file_and_an_address_for_the_others() {
    let cluster = |node: &str, url: &str| {
        let flags = [("cluster.node", node), ("cluster.url", url), ("backup.path", "/backup")];
        load("", &[], &flags).map(|loaded| loaded.config.cluster.unwrap().address)
    };
    let longest = "n".repeat(63);
    for name in ["a", "node-1", "0", "eu.node_1", &longest] {
        assert_eq!(
            cluster(name, "http://a:80/").unwrap(),
            NodeAddress { node: name.to_owned(), url: "http://a:80".to_owned() }
        );
    }
    let too_long = "n".repeat(64);
    for name in ["-a", ".a", "_a", "a b", "a/b", "ä", &too_long] {
        let said = cluster(name, "http://a:80").unwrap_err().to_string();
        assert!(said.contains("a name of up to 63 letters"), "{name}: {said}");
    }
    for url in ["a:80", "ftp://a"] {
        let said = cluster("a", url).unwrap_err().to_string();
        assert!(said.contains("begins with http:// or https://"), "{url}: {said}");
    }
}

#[test]
fn a_key_that_is_nearly_known_is_found_in_its_own_section_or_in_another() {
    use crate::config::keys::nearest;
    for (wrong, known) in [
        ("task.lease", Some("tasks.lease")),
        ("lease", Some("tasks.lease")),
        ("backup.retention", Some("history.retention")),
        ("notify.routes.ops.chanel", Some("notify.routes.ops.channel")),
        ("xyz", None),
    ] {
        assert_eq!(nearest(wrong).as_deref(), known, "{wrong}");
    }
}

#[test]
fn keys_with_names_of_ones_own_are_known_only_below_their_section() {
    use crate::config::keys::{find, is_section};
    let name = |key: &str| find(key).map(|known| known.name);
    assert_eq!([name("groups.g"), name("groups.a.b")], [Some("groups.NAME"); 2]);
    assert_eq!([name("groups."), name("groups"), name("groupsx")], [None; 3]);
    assert_eq!((name("links.grafana"), name("links.a.b"), name("links")), (Some("links.NAME"), None, None));
    assert_eq!((name("notify.routes.ops.channel"), name("notify.routes.ops.x")), (Some("channel"), None));
    for section in ["tasks", "store", "store.s3", "links", "groups", "notify.routes", "notify.routes.ops"] {
        assert!(is_section(section), "{section}");
    }
    for key in ["tasks.lease", "task", "refresh", "notify.routes.ops.channel", ""] {
        assert!(!is_section(key), "{key}");
    }
}
