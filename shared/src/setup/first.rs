//! The script that a router fetches by itself: everything but what serves subscribers, on either release, and word to
//! whoever gave it when it is done.

use std::fmt::Write;

use super::script::{commands, on_error};
use super::wanted::{Item, Value, Which, wanted};
use super::{Hotspot, PAGES, Release, Setup, mode, quote};

/// The first script of a router, whatever its release. When it is through it calls `callback`, an address with a
/// query, and adds how many steps failed and which addresses the router has. Steps of the names `without` are left out.
///
/// It holds the router's secrets.
pub fn first_script(setup: &Setup, without: &[&str], callback: &str) -> String {
    let mut script = String::new();
    // Writing into a String does not fail.
    let mut line = |text: &str| {
        let _ = writeln!(script, "{text}");
    };
    line(&format!(
        "# What EasyISP sets up on {} first. It holds secrets: remove the file when it is imported.",
        quote(&setup.identity)
    ));
    line(":global easyispFailed 0");
    line(":global easyispLogin 0");
    line(":global easyispFolder \"\"");
    line(
        "{ :global easyispFolder; :if ([:len [/file find where name=\"flash\"]] > 0) do={ :set easyispFolder \"flash/\" } }",
    );
    let steps = wanted(setup, Release::V7);
    let of = steps.len();
    for (place, step) in steps.into_iter().enumerate() {
        if step.items.is_empty() || without.contains(&step.name) {
            continue;
        }
        let name = format!("step {} of {of}, {}", place + 1, step.name);
        line("");
        line(&format!(":put \"easyisp: {name}\""));
        line(":do {");
        line("  :global easyispFolder");
        let failed = on_error(&step, &name);
        for item in step.items.into_iter().flat_map(of_either_release) {
            for command in commands(&item) {
                line(&format!("  {command}"));
            }
            if let Which::OwnMarked(key, value, mark) = &item.which {
                // Behind the command that gave it its password: no other line knows that it has it.
                line(&format!(
                    "  :global easyispLogin [:len [{} find where {key}={} and comment={}]]",
                    item.menu,
                    quote(value),
                    quote(mark)
                ));
            }
        }
        line(&failed);
    }
    for fetch in setup.hotspot.iter().flat_map(pages) {
        line(&fetch);
    }
    let mode = mode(callback);
    let callback = quote(callback);
    line("");
    line("{");
    line("  :global easyispFailed");
    line("  :local failed $easyispFailed");
    line("  :set easyispFailed");
    line("  :global easyispFolder");
    line("  :set easyispFolder");
    line("  :local addresses \"\"");
    line(
        "  :foreach one in=[/ip address find] do={ :set addresses ($addresses . [/ip address get $one address] . \",\") }",
    );
    line("  :global easyispLogin");
    line("  :local login $easyispLogin");
    line("  :set easyispLogin");
    line("  :local told 0");
    line("  :local tries 0");
    line(&format!(
        "  :while (($told = 0) and ($tries < 3)) do={{ :do {{ /tool fetch mode={mode} url=({callback} . \"&failed=\" . $failed . \"&login=\" . $login . \"&addresses=\" . $addresses) keep-result=no; :set told 1 }} on-error={{ :delay 5s }}; :set tries ($tries + 1) }}"
    ));
    line(
        "  :if ($told = 0) do={ :log error \"easyisp: the cloud was not told\"; :error \"easyisp: set up, but the cloud was not told; take a new command from the wizard\" }",
    );
    line(
        "  :if ($failed > 0) do={ :error \"easyisp: $failed steps failed; see /log print, and take a new command from the wizard\" }",
    );
    line("  :put \"easyisp: all done; go on in the wizard\"");
    line("}");
    script
}

/// What fetches the pages that guests meet into the folder of the hotspot; one that does not come is as it was.
fn pages(hotspot: &Hotspot) -> Vec<String> {
    let Some(pages) = &hotspot.pages else {
        return Vec::new();
    };
    let mode = match pages.url.split_once(':') {
        Some(("http", _)) => "http",
        _ => "https", // what is public has a certificate
    };
    let fetch = |file: &&str| {
        let url = quote(&format!("{}{file}?{}", pages.url, pages.query));
        format!(
            ":do {{ :global easyispFolder; /tool fetch mode={mode} url={url} dst-path=($easyispFolder . \"hotspot/{file}\") }} on-error={{ :log warning \"easyisp: the hotspot keeps its own {file}\" }}"
        )
    };
    let head = [
        String::new(),
        ":put \"easyisp: pages of the hotspot\"".to_owned(),
    ];
    head.into_iter().chain(PAGES.iter().map(fetch)).collect()
}

/// Time servers have another name in either release; each takes its own.
fn of_either_release(item: Item) -> Vec<Item> {
    if item.menu != "/system ntp client" {
        return vec![item];
    }
    let (servers, rest): (Vec<_>, Vec<_>) = item
        .fields
        .into_iter()
        .partition(|(name, _)| *name == "servers");
    let mut items = vec![Item {
        menu: item.menu,
        which: item.which,
        fields: rest,
    }];
    let named = |name, value: &Value| Item {
        menu: item.menu,
        which: Which::MenuWhereKnown,
        fields: vec![(name, value.clone())],
    };
    for (_, value) in &servers {
        items.extend([named("servers", value), named("server-dns-names", value)]);
    }
    items
}
