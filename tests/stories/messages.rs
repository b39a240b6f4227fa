//! Messages in the outbox reach a phone once, or nobody pretends they did.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result};
use easyisp_cloud::config::Smtp;
use easyisp_cloud::mail::Mail;
use easyisp_cloud::messaging::{self, Budget, Message, Sender, SmsGateway};
use easyisp_cloud::turns::Turns;
use easyisp_shared::entropy::Entropy;
use easyisp_shared::id::{MessageId, TenantId};
use easyisp_shared::money::Cents;
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
        budget: Budget {
            trial: 100,
            others: 100,
        },
        price: None,
        turns: Turns::new(messaging::AT_ONCE),
    };
    Ok(Post {
        books,
        outside,
        sender,
        tenant,
    })
}

impl Post {
    fn answers(&self, answer: TextAnswer) {
        let texting = Texting {
            answer,
            ..Texting::default()
        };
        self.outside.sms.script(PHONE, texting);
    }

    async fn message(&self) -> Result<MessageId> {
        self.message_for("receipt").await
    }

    async fn message_for(&self, purpose: &'static str) -> Result<MessageId> {
        let message = Message {
            id: MessageId::new(noon(), self.books.db.entropy()),
            to: PhoneNumber::parse(PHONE).unwrap(),
            body: "Paid.".into(),
            purpose,
            customer: None,
            initiator: "system".into(),
        };
        let mut tx = self.books.db.begin(self.tenant).await?;
        messaging::enqueue(&mut tx, &message, noon()).await?;
        tx.commit().await?;
        Ok(message.id)
    }

    /// What is left when the platform adds so much.
    async fn sms_balance(&self, more: i64) -> Result<i64> {
        let mut tx = self.books.db.begin(self.tenant).await?;
        let left = "update tenants set sms_balance = sms_balance + $2 where tenant_id = $1 returning sms_balance";
        let left = sqlx::query_scalar(left)
            .bind(self.tenant)
            .bind(more)
            .fetch_one(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(left)
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

/// A gateway that is down for hours loses no message: what surely did not arrive is tried again, later each time, and
/// given up after half a day.
#[tokio::test]
async fn a_busy_gateway_is_tried_until_it_takes_the_message() -> Result<()> {
    let post = given_post().await?;
    let clock = post.sender.clock.clone();
    post.answers(TextAnswer::HttpError(503));
    let (first, second) = (post.message().await?, post.message().await?);

    for _ in 0..6 {
        let again = messaging::send(&post.sender, post.tenant, first).await?;
        clock.advance(again.context("later")?.since(clock.now()));
    }
    assert_eq!(post.state(first).await?, ("PENDING".into(), 6));
    assert!(clock.now().since(noon()) > Duration::from_secs(2 * 3600));
    post.answers(TextAnswer::Accept);
    assert_eq!(
        messaging::send(&post.sender, post.tenant, first).await?,
        None
    );
    assert_eq!(post.state(first).await?, ("SENT".into(), 7));

    post.answers(TextAnswer::HttpError(503));
    clock.advance(Duration::from_secs(12 * 3600));
    assert_eq!(
        messaging::send(&post.sender, post.tenant, second).await?,
        None
    );
    assert_eq!(post.state(second).await?, ("FAILED".into(), 1));
    post.outside.stop().await;
    Ok(())
}

/// Who tries the platform out sends few texts through its account, and those about money are no part of them.
#[tokio::test]
async fn a_trial_sends_few_texts_and_its_receipts_all_the_same() -> Result<()> {
    let mut post = given_post().await?;
    post.sender.budget = Budget {
        trial: 2,
        others: 100,
    };
    let mut tx = post.books.db.begin(post.tenant).await?;
    sqlx::query("update tenants set status = 'TRIAL'")
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    for state in ["SENT", "SENT", "FAILED"] {
        let message = post.message_for("message").await?;
        messaging::send(&post.sender, post.tenant, message).await?;
        assert_eq!(post.state(message).await?, (state.into(), 1));
    }
    let receipt = post.message().await?;
    messaging::send(&post.sender, post.tenant, receipt).await?;
    assert_eq!(post.state(receipt).await?, ("SENT".into(), 1));

    post.sender.clock.advance(Duration::from_secs(24 * 3600));
    let next_day = post.message_for("message").await?;
    messaging::send(&post.sender, post.tenant, next_day).await?;
    assert_eq!(post.state(next_day).await?, ("SENT".into(), 1));
    post.outside.stop().await;
    Ok(())
}

/// A text is paid out of what was paid for texts in advance, each part of it, and what that does not cover is not sent.
#[tokio::test]
async fn a_text_is_paid_in_advance_where_it_has_a_price() -> Result<()> {
    let mut post = given_post().await?;
    let free = post.message().await?;
    messaging::send(&post.sender, post.tenant, free).await?;
    assert_eq!(post.state(free).await?, ("SENT".into(), 1));
    assert_eq!(post.sms_balance(100).await?, 100, "texts cost nothing here");

    post.sender.price = Some(Cents::new(80));
    for (state, left) in [("SENT", 20), ("FAILED", 20)] {
        let message = post.message().await?;
        messaging::send(&post.sender, post.tenant, message).await?;
        assert_eq!(post.state(message).await?, (state.into(), 1));
        assert_eq!(post.sms_balance(0).await?, left);
    }
    // One that was not taken costs nothing, and one that nobody knows of costs what it may have cost us.
    post.sms_balance(140).await?;
    for (answer, left) in [
        (TextAnswer::Reject(1003), 160),
        (TextAnswer::AcceptThenSilence, 80),
        (TextAnswer::Accept, 0),
    ] {
        post.answers(answer);
        let message = post.message().await?;
        messaging::send(&post.sender, post.tenant, message).await?;
        assert_eq!(post.sms_balance(0).await?, left);
    }
    post.outside.stop().await;
    Ok(())
}

/// Who writes to thousands takes his own turns: not those of his receipts, and not those of others.
#[tokio::test]
async fn a_tenant_that_writes_to_thousands_waits_for_itself() -> Result<()> {
    let mut post = given_post().await?;
    post.sender.turns = Turns::new(1);
    let _under_way = post
        .sender
        .turns
        .take((post.tenant, false), noon())
        .ok()
        .context("a turn")?;
    let many = post.message_for("message").await?;
    assert!(
        messaging::send(&post.sender, post.tenant, many)
            .await?
            .is_some()
    );
    assert_eq!(post.state(many).await?, ("PENDING".into(), 0));
    let receipt = post.message().await?;
    messaging::send(&post.sender, post.tenant, receipt).await?;
    assert_eq!(post.state(receipt).await?, ("SENT".into(), 1));
    let other = Post {
        tenant: post.books.given_tenant_called("others").await?,
        ..post
    };
    let message = other.message_for("message").await?;
    messaging::send(&other.sender, other.tenant, message).await?;
    assert_eq!(other.state(message).await?, ("SENT".into(), 1));
    other.outside.stop().await;
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
