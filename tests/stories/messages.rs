//! Messages in the outbox reach a phone once, or nobody pretends they did.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Result;
use easyisp_cloud::config::Smtp;
use easyisp_cloud::mail::Mail;
use easyisp_cloud::messaging::{self, Message, Sender, SmsGateway};
use easyisp_shared::entropy::Entropy;
use easyisp_shared::id::{MessageId, TenantId};
use easyisp_shared::phone::PhoneNumber;
use easyisp_shared::time::Clock;
use easyisp_tests::operator::http_client;
use easyisp_tests::outside::Outside;
use easyisp_tests::scenario::{TextAnswer, Texting};
use easyisp_tests::sms::API_KEY;

use crate::money::{Books, given_books, noon};

const PHONE: &str = "0712345678";

struct Post {
    books: Books,
    outside: Outside,
    sender: Sender,
    tenant: TenantId,
}

async fn given_post() -> Result<Post> {
    let books = given_books().await?;
    let tenant = books.given_tenant().await?;
    let clock = Clock::test(noon());
    let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let outside = Outside::start_on(anywhere, clock.clone(), Entropy::system()).await?;
    let gateway = SmsGateway::new(http_client(), outside.url(), API_KEY, "1", "ACME")
        .patient_for(Duration::from_millis(300));
    let sender = Sender {
        db: books.db.clone(),
        clock,
        gateway: Some(gateway),
        mail: Mail::new(&Smtp::default())?,
    };
    Ok(Post {
        books,
        outside,
        sender,
        tenant,
    })
}

impl Post {
    async fn message(&self) -> Result<MessageId> {
        let message = Message {
            id: MessageId::new(noon(), self.books.db.entropy()),
            to: PhoneNumber::parse(PHONE).unwrap(),
            body: "Paid.".into(),
            purpose: "receipt",
            customer: None,
            initiator: "system".into(),
        };
        let mut tx = self.books.db.begin(self.tenant).await?;
        messaging::enqueue(&mut tx, &message, noon()).await?;
        tx.commit().await?;
        Ok(message.id)
    }

    async fn state(&self, message: MessageId) -> Result<(String, i32)> {
        let mut tx = self.books.db.begin(self.tenant).await?;
        Ok(
            sqlx::query_as("select state, attempts from messages where id = $1")
                .bind(message)
                .fetch_one(&mut *tx)
                .await?,
        )
    }
}

/// K1: the gateway takes a message and never answers; the message is not sent again, however often its
/// sending falls due.
#[tokio::test]
async fn a_message_of_unknown_fate_is_not_sent_again() -> Result<()> {
    let post = given_post().await?;
    let answer = TextAnswer::AcceptThenSilence;
    post.outside.sms.script(
        PHONE,
        Texting {
            answer,
            ..Texting::default()
        },
    );
    let message = post.message().await?;

    for _ in 0..3 {
        assert_eq!(
            messaging::send(&post.sender, post.tenant, message).await?,
            None
        );
    }
    assert_eq!(post.state(message).await?, ("UNKNOWN".into(), 1));
    assert_eq!(post.outside.sms.received(PHONE).len(), 1);
    post.outside.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_busy_gateway_is_tried_twice_and_no_more() -> Result<()> {
    let post = given_post().await?;
    let answer = TextAnswer::HttpError(503);
    post.outside.sms.script(
        PHONE,
        Texting {
            answer,
            ..Texting::default()
        },
    );
    let message = post.message().await?;

    assert!(
        messaging::send(&post.sender, post.tenant, message)
            .await?
            .is_some()
    );
    assert_eq!(
        messaging::send(&post.sender, post.tenant, message).await?,
        None
    );
    assert_eq!(
        messaging::send(&post.sender, post.tenant, message).await?,
        None
    );
    assert_eq!(post.state(message).await?, ("FAILED".into(), 2));
    post.outside.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_message_arrives_with_our_reference() -> Result<()> {
    let post = given_post().await?;
    let message = post.message().await?;

    assert_eq!(
        messaging::send(&post.sender, post.tenant, message).await?,
        None
    );
    assert_eq!(post.state(message).await?, ("SENT".into(), 1));
    let received = post.outside.sms.received(PHONE);
    assert_eq!(received[0].reference, Some(message.to_string()));
    assert_eq!(received[0].text, "Paid.");
    post.outside.stop().await;
    Ok(())
}
