#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;

fn read(file: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
    let environment = environment
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::read(file, environment).map_err(|error| error.to_string())
}

#[test]
fn nothing_at_all_is_a_working_configuration() {
    let config = read("", &[("PATH", "/bin")]).unwrap();
    assert_eq!(config.http.listen.port(), 8080);
    assert_eq!(config.agents.listen.port(), 4433);
    assert!(config.metrics.listen.ip().is_loopback());
    assert!(config.master_key_file().starts_with(&config.data_dir));
}

#[test]
fn variables_win_over_the_file() {
    let file = "data_dir = '/srv/a'\n[http]\nlisten = '127.0.0.1:1'\nallowed_origins = ['https://a.example']";
    let config = read(
        file,
        &[
            ("EASYISP_DATA_DIR", "/srv/b"),
            (
                "EASYISP_HTTP_ALLOWED_ORIGINS",
                "https://b.example, https://c.example",
            ),
            ("EASYISP_HTTP_TRUSTED_PROXIES", "10.0.0.0/8"),
            ("EASYISP_LIMITS_USER_BURST", "7"),
            ("EASYISP_LOG_FORMAT", "json"),
            ("EASYISP_WEBHOOKS_ALLOW_PRIVATE", "true"),
        ],
    )
    .unwrap();
    assert_eq!(config.data_dir, PathBuf::from("/srv/b"));
    assert_eq!(config.http.listen.port(), 1);
    assert_eq!(config.http.allowed_origins.len(), 2);
    assert_eq!(config.limits.user_burst.get(), 7);
    assert_eq!(config.log.format, LogFormat::Json);
    assert!(config.webhooks.allow_private);
}

#[test]
fn every_key_is_a_variable_and_every_variable_a_key() {
    for variable in Config::variables() {
        // A value of the wrong form is refused by the key's own name: so the key is known.
        if let Err(error) = read("", &[(&variable, "x")]) {
            let unknown = ["unknown key", "unknown environment"];
            assert!(!unknown.iter().any(|word| error.contains(word)), "{error}");
        }
    }
}

#[test]
fn what_is_unknown_is_named_with_the_remedy() {
    for (file, variables, says) in [
        (
            "[http]\nlistn = 'x'",
            vec![],
            ["[http] listn", "known here"],
        ),
        ("[htp]\nlisten = 'x'", vec![], ["htp", "unknown"]),
        (
            "",
            vec![("EASYISP_HTTP_LISTN", "x")],
            ["EASYISP_HTTP_LISTN", "--help"],
        ),
        (
            "",
            vec![("EASYISP_LISTEN", "x")],
            ["EASYISP_LISTEN", "did you mean"],
        ),
    ] {
        let error = read(file, &variables).unwrap_err();
        for word in says {
            assert!(error.contains(word), "{error}");
        }
    }
}

#[test]
fn a_bad_value_is_named_with_the_remedy() {
    for (file, says) in [
        ("[http]\nlisten = 'nowhere'", "[http] listen"),
        ("[limits]\nuser_burst = 0", "[limits] user_burst"),
        (
            "[http]\npublic_url = 'isp.example.com'",
            "must be like https://",
        ),
        (
            "[http]\nallowed_origins = ['*']",
            "must be a list of origins",
        ),
        (
            "[agents]\npublic_address = 'isp.example.com'",
            "must be HOST:PORT",
        ),
        ("[nodes]\naddress = '10.0.0.5:1'", "[nodes] listen"),
        ("[nodes]\nlisten = '0.0.0.0:1'", "[nodes] address"),
        (
            "[nodes]\nlisten = '0.0.0.0:1'\naddress = 'x@y/z:1'",
            "must be HOST:PORT",
        ),
        ("[log]\nformat = 'xml'", "[log] format"),
        ("[http", "not valid TOML"),
    ] {
        let error = read(file, &[]).unwrap_err();
        assert!(error.contains(says), "{error}");
    }
    let error = read("", &[("EASYISP_LIMITS_USER_BURST", "many")]).unwrap_err();
    assert!(error.contains("whole number"), "{error}");
    let error = read("", &[("EASYISP_WEBHOOKS_ALLOW_PRIVATE", "yes")]).unwrap_err();
    assert!(error.contains("true or false"), "{error}");
}

#[test]
fn agents_find_the_door_by_the_best_name_there_is() {
    let mut config = Config::default();
    assert_eq!(config.agents_address(None), "localhost:4433");
    assert_eq!(
        config.agents_address(Some("192.0.2.1:8080")),
        "192.0.2.1:4433"
    );
    assert_eq!(
        config.agents_address(Some("[2001:db8::1]")),
        "[2001:db8::1]:4433"
    );
    config.http.public_url = Some("https://isp.example.com".to_owned());
    assert_eq!(
        config.agents_address(Some("10.0.0.1")),
        "isp.example.com:4433"
    );
    config.agents.public_address = Some("door.example.com:443".to_owned());
    assert_eq!(config.agents_address(None), "door.example.com:443");
}

#[test]
fn secrets_do_not_print() {
    let config = read("[database]\nurl = 'postgres://u:hunter2@h/d'", &[]).unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
}

/// What a browser keeps of a name it sends to every port of it.
#[test]
fn ways_to_devices_have_a_name_that_is_not_the_consoles() {
    let with = |access: &str| {
        let console = "[http]\npublic_url = 'https://isp.example.com:8443'\n[access]\n";
        read(&format!("{console}{access}"), &[])
    };
    for wrong in [
        "listen = '0.0.0.0'",
        "listen = '::'",
        "listen = '0.0.0.0'\nhost = 'isp.example.com'",
        "listen = '10.0.0.1'\nhost = 'ISP.example.com'",
        "listen = '10.0.0.1'\nhost = '*.example.com'",
        "listen = '10.0.0.1'\nhost = 'a*.example.com'",
    ] {
        let error = with(wrong).unwrap_err();
        assert!(error.contains("[access] host"), "{wrong}: {error}");
    }
    let error = with("listen = '10.0.0.1'\ncertificate = '/a.pem'").unwrap_err();
    assert!(error.contains("[access] key"), "{error}");
    for right in [
        "",
        "listen = '10.0.0.1'",
        "listen = '0.0.0.0'\nhost = 'devices.isp.example.com'",
        "listen = '0.0.0.0'\nhost = '*.devices.isp.example.com'",
    ] {
        with(right).unwrap();
    }
}
