//! Any octets as what a router says: to who asks its API, cut anywhere, and in its announcement.
#![no_main]

use easyisp_agent::neighbours::announcement;
use easyisp_agent::routeros::codec::{Decoder, MAX_SENTENCE};
use easyisp_agent::routeros::sentence::{self, Reply, Row};
use easyisp_agent::routeros::{live, menus, values};
use easyisp_agent::sessions::Service;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    let _announced = announcement::read(octets);
    let Some((cut, stream)) = octets.split_first() else {
        return;
    };
    let whole = replies(stream.chunks(stream.len().max(1)));
    let pieces = replies(stream.chunks(usize::from(*cut).max(1)));
    assert_eq!(whole, pieces, "a cut changes what was said");
    let rows: Vec<Row> = whole
        .into_iter()
        .filter_map(|reply| match reply {
            Reply::Row(row) | Reply::Done(row) => Some(row),
            Reply::Empty | Reply::Trap(_) | Reply::Fatal(_) => None,
        })
        .collect();
    for row in &rows {
        read_row(row);
    }
    if let Some(first) = rows.first() {
        let _system = live::read_system(first, &rows, &rows, &rows);
    }
    let _ping = live::read_ping(&rows);
});

/// What is read until the stream ends or is no API's any more.
fn replies<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<Reply> {
    let (mut decoder, mut replies) = (Decoder::default(), Vec::new());
    for piece in pieces {
        decoder.push(piece);
        loop {
            match decoder.sentence() {
                Ok(None) => break,
                Err(_) => return replies,
                Ok(Some(words)) => {
                    assert!(words.iter().map(Vec::len).sum::<usize>() <= MAX_SENTENCE);
                    match sentence::read(&words) {
                        Ok((_tag, reply)) => replies.push(reply),
                        Err(_) => return replies,
                    }
                }
            }
        }
    }
    replies
}

fn read_row(row: &Row) {
    for service in [Service::Ppp, Service::Hotspot] {
        let _active = menus::read_active(service, row);
        let _secret = menus::read_local_secret(service, row);
    }
    let _resource = menus::read_resource(row);
    let _limit = (menus::read_limit(row), menus::read_rate(row));
    let _traffic = menus::read_traffic(row);
    let _interface = (live::read_interface(row), live::read_rates(row));
    let _queue = live::read_queue(row);
    let _line = (live::read_log(row), live::read_lease(row));
    let _around = (live::read_neighbour(row), live::read_watch(row));
    for (_name, text) in row.texts() {
        let _read = (values::duration(text), values::pair(text));
    }
}
