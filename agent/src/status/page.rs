//! The state as one small page: no script, nothing fetched, readable on a phone in a server room.

use std::fmt::Write as _;

use super::Report;
use super::shared::SharedReport;
use crate::doctor::MOST_WRITTEN;

/// The page of one site.
pub(super) fn of_site(report: &Report, title: &str, codes: &str) -> String {
    let mut page = head(title);
    body(&mut page, report);
    let _ = write!(
        page,
        "<p><a href=\"{}\">Let a customer in with a code</a></p></body></html>",
        escaped(codes)
    );
    page
}

/// Where a code from the phone is typed. It is not loaded anew while somebody types.
pub(super) fn for_codes() -> String {
    format!(
        "<!doctype html><html lang=en><head><meta charset=utf-8>\
         <meta name=viewport content=\"width=device-width,initial-scale=1\">\
         <title>A code from the phone</title><style>{STYLE}</style></head>\
         <body><h1>A code from the phone</h1><form method=post>\
         <p><label>User name <input name=name required autocomplete=off></label></p>\
         <p><label>Code <input name=code required inputmode=numeric autocomplete=off></label></p>\
         <p><button>Let in</button></p></form></body></html>"
    )
}

/// The page of a process of many sites.
pub(super) fn of_all(report: &SharedReport) -> String {
    let mut page = head("EasyISP agent");
    let _ = write!(
        page,
        "<p>{} · {} sites</p>",
        escaped(&report.version),
        report.sites.len()
    );
    for (name, why) in &report.left_out {
        warning(&mut page, &format!("Site {name} is not served: {why}"));
    }
    if report.unknown_datagrams > 0 {
        let text = format!(
            "{} requests from no router of any site",
            report.unknown_datagrams
        );
        warning(&mut page, &text);
    }
    asking(&mut page, &report.unknown_sources);
    page.push_str("<table><tr><th>site<th>link<th>online<th>waiting<th>look at");
    for site in &report.sites {
        let state = &site.report;
        let name = escaped(&site.name);
        let _ = write!(
            page,
            "<tr><td><a href=\"/sites/{name}\">{name}</a><td class={}>{}<td>{}<td>{}<td>{}",
            class(state.link_up),
            word(state.link_up),
            state.sessions,
            state.waiting.values().sum::<u64>(),
            state.warnings.len(),
        );
    }
    page + "</table></body></html>"
}

fn body(page: &mut String, report: &Report) {
    for text in &report.warnings {
        warning(page, text);
    }
    asking(page, &report.unknown_sources);
    let clock = format!("{} ({})", report.now, trusted(report.clock_trusted));
    let waiting: u64 = report.waiting.values().sum();
    let mut rows = vec![
        ("link", report.link.clone()),
        ("clock", clock),
        ("subscribers", report.subscribers.to_string()),
        ("online", report.sessions.to_string()),
        ("waiting for the cloud", waiting.to_string()),
        ("version", report.version.clone()),
    ];
    if let Some(percent) = report.disk_used_percent {
        rows.push(("disk", format!("{percent} % full")));
    }
    if let Some(written) = report.written_mb_per_day {
        rows.push((
            "written",
            format!("{written} MB a day (at most {MOST_WRITTEN} wanted)"),
        ));
    }
    page.push_str("<table>");
    for (name, text) in rows {
        let _ = write!(page, "<tr><th>{name}<td>{}", escaped(&text));
    }
    page.push_str("</table><h2>Routers</h2><table>");
    for router in &report.routers {
        let seen = router.last_seen.map_or_else(
            || "not heard since the start".to_owned(),
            |at| format!("heard {at}"),
        );
        let _ = write!(
            page,
            "<tr><th>{}<td>{}<td class={}>{seen}",
            escaped(&router.name),
            escaped(&router.source),
            class(router.last_seen.is_some()),
        );
    }
    page.push_str("</table>");
    if !report.wizard.is_empty() {
        page.push_str("<h2>Being brought up from this box</h2><table>");
        for router in &report.wizard {
            let _ = write!(
                page,
                "<tr><th>{}<td>{}",
                escaped(&router.name),
                escaped(&router.message)
            );
        }
        page.push_str("</table>");
    }
    page.push_str("<h2>Counts since the start</h2><table>");
    for (name, count) in &report.counters {
        let _ = write!(page, "<tr><th>{}<td>{count}", escaped(name));
    }
    page.push_str("</table>");
}

fn head(title: &str) -> String {
    let title = escaped(title);
    format!(
        "<!doctype html><html lang=en><head><meta charset=utf-8>\
         <meta name=viewport content=\"width=device-width,initial-scale=1\">\
         <meta http-equiv=refresh content=30><title>{title}</title><style>{STYLE}</style></head>\
         <body><h1>{title}</h1>"
    )
}

fn warning(page: &mut String, text: &str) {
    let _ = write!(page, "<p class=bad>{}</p>", escaped(text));
}

fn asking(page: &mut String, sources: &[(std::net::IpAddr, u64)]) {
    for (source, count) in sources {
        let times = match count {
            1 => "once".to_owned(),
            count => format!("{count} times"),
        };
        let text = format!("A router at {source} is asking ({times}). Add it in the console?");
        warning(page, &text);
    }
}

fn trusted(trusted: bool) -> &'static str {
    if trusted { "trusted" } else { "NOT trusted" }
}

fn class(good: bool) -> &'static str {
    if good { "good" } else { "bad" }
}

fn word(up: bool) -> &'static str {
    if up { "up" } else { "down" }
}

/// Names come from people and counters from code; both are text here.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

const STYLE: &str = "body{font:16px system-ui,sans-serif;margin:1em;max-width:50em}\
    h1{font-size:1.3em}h2{font-size:1.1em}table{border-collapse:collapse;width:100%}\
    th,td{text-align:left;padding:.3em .5em .3em 0;border-bottom:1px solid #ccc;overflow-wrap:anywhere}\
    th{font-weight:600}.bad{color:#a00}.good{color:#060}p.bad{border-left:.3em solid;padding-left:.5em}\
    @media(prefers-color-scheme:dark){body{background:#111;color:#ddd}a{color:#8bf}.bad{color:#f88}.good{color:#8d8}}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_named_is_text_and_no_markup() {
        assert_eq!(
            escaped("<b>'a' & \"b\"</b>"),
            "&lt;b&gt;&#39;a&#39; &amp; &quot;b&quot;&lt;/b&gt;"
        );
        let mut page = head("<script>");
        warning(&mut page, "<script>alert(1)</script>");
        assert!(!page.contains("<script"), "{page}");
    }
}
