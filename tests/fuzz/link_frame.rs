//! Any octets as what crosses the link: frames, records of every kind, questions, answers, tokens.
//!
//! What decodes must encode to something that decodes to the same.
#![no_main]

use easyisp_shared::wire::peer::{PeerAnswer, PeerQuestion};
use easyisp_shared::wire::question::{AgentQuestion, CloudReply, Question, Reply};
use easyisp_shared::wire::{Down, FRAME_HEADER, JoinToken, Message, Up};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    if let Ok(message) = Message::read(octets) {
        if let Ok(frame) = message.frame() {
            let again = Message::read(&frame[FRAME_HEADER..]);
            assert_eq!(again.expect("our own frame"), message);
        }
        if let Message::Feed(batch) = &message {
            for record in &batch.records {
                let _body = record
                    .body
                    .as_ref()
                    .map(|body| Down::decode(record.kind, body));
            }
        }
        if let Message::Up(batch) = &message {
            for record in &batch.records {
                let _body = Up::decode(record.kind, &record.body);
            }
        }
    }
    if let [kind, body @ ..] = octets {
        let kind = u16::from(*kind);
        if let Ok(down) = Down::decode(kind, body) {
            assert_eq!(Down::decode(kind, &down.encode()).expect("our own"), down);
        }
        if let Ok(up) = Up::decode(kind, body) {
            assert_eq!(Up::decode(kind, &up.encode()).expect("our own"), up);
        }
    }
    if let Ok(question) = PeerQuestion::decode(octets) {
        let again = PeerQuestion::decode(&question.encode());
        assert_eq!(again.expect("our own"), question);
    }
    if let Ok(answer) = PeerAnswer::decode(octets) {
        let again = PeerAnswer::decode(&answer.encode());
        assert_eq!(again.expect("our own"), answer);
    }
    let _question = Question::decode(octets);
    let _reply = Reply::decode(octets);
    let _asked = AgentQuestion::decode(octets);
    let _answered = CloudReply::decode(octets);
    let _token = std::str::from_utf8(octets).map(JoinToken::parse);
});
