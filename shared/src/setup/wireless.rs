//! What an interface for radio is to be. Two drivers know two menus: `wireless`, and `wifi` of RouterOS 7.13 and newer.

use secrecy::SecretString;

use super::wanted::{Item, Step, Value, Which};

/// Which driver has the interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Driver {
    /// `/interface wireless`.
    Wireless,
    /// `/interface wifi`.
    Wifi,
}

impl Driver {
    /// Its menu.
    pub fn menu(self) -> &'static str {
        match self {
            Driver::Wireless => "/interface wireless",
            Driver::Wifi => "/interface wifi",
        }
    }
}

/// What an interface for radio is to be.
#[derive(Clone, Debug)]
pub struct Radio {
    /// Which.
    pub interface: String,
    /// What it is called in the air.
    pub ssid: String,
    /// Whoever knows this comes in (WPA2, and WPA3 where the driver knows it); everybody without it.
    pub password: Option<SecretString>,
    /// Where it stands, in the router's words; as it is without it.
    pub country: Option<String>,
    /// Whether its name is kept out of the air.
    pub hidden: bool,
    /// Whether it is switched on.
    pub enabled: bool,
}

/// What the menus must hold. Profiles are of our own: what others made stays as it is.
pub fn radio(radio: &Radio, driver: Driver) -> Step {
    let profile = format!("easyisp-{}", radio.interface);
    let word = |text: &str| Value::Word(text.to_owned());
    let yes = |yes: bool| word(if yes { "yes" } else { "no" });
    let (menu, keys, mut fields) = match driver {
        Driver::Wireless => {
            let keys = match &radio.password {
                Some(password) => vec![
                    ("mode", word("dynamic-keys")),
                    ("authentication-types", word("wpa2-psk")),
                    ("unicast-ciphers", word("aes-ccm")),
                    ("group-ciphers", word("aes-ccm")),
                    ("wpa2-pre-shared-key", Value::Secret(password.clone())),
                ],
                None => vec![("mode", word("none"))],
            };
            let mut fields = vec![
                ("ssid", Value::Text(radio.ssid.clone())),
                ("mode", word("ap-bridge")),
                ("security-profile", Value::Text(profile.clone())),
                ("hide-ssid", yes(radio.hidden)),
            ];
            let country = radio.country.iter();
            fields.extend(country.map(|country| ("country", Value::Text(country.clone()))));
            ("/interface wireless security-profiles", keys, fields)
        }
        Driver::Wifi => {
            let keys = match &radio.password {
                Some(password) => vec![
                    ("authentication-types", word("wpa2-psk,wpa3-psk")),
                    ("passphrase", Value::Secret(password.clone())),
                ],
                None => vec![("authentication-types", word(""))],
            };
            let mut fields = vec![
                ("configuration.ssid", Value::Text(radio.ssid.clone())),
                ("configuration.mode", word("ap")),
                ("configuration.hide-ssid", yes(radio.hidden)),
                ("security", Value::Text(profile.clone())),
            ];
            let country = radio.country.iter();
            let country = country.map(|text| ("configuration.country", Value::Text(text.clone())));
            fields.extend(country);
            ("/interface wifi security", keys, fields)
        }
    };
    fields.push(("disabled", yes(!radio.enabled)));
    Step {
        name: "radio",
        items: vec![
            Item {
                menu,
                which: Which::Own("name", profile),
                fields: keys,
            },
            Item {
                menu: driver.menu(),
                which: Which::Found("name", radio.interface.clone()),
                fields,
            },
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_shown_by_nothing() {
        let radio = |driver| {
            let radio = Radio {
                interface: "wlan1".to_owned(),
                ssid: "Mzee".to_owned(),
                password: Some("a-long-password".to_owned().into()),
                country: Some("kenya".to_owned()),
                hidden: false,
                enabled: true,
            };
            format!("{:?} {radio:?}", super::radio(&radio, driver))
        };
        for driver in [Driver::Wireless, Driver::Wifi] {
            let shown = radio(driver);
            assert!(
                shown.contains("Mzee") && !shown.contains("a-long-password"),
                "{shown}"
            );
        }
    }
}
