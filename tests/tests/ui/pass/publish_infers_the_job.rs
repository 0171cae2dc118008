//! The job is inferred from what is published, or named.
#![deny(warnings)]

use pulpo::{IntoMessage, Job, Message};
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

#[pulpo::handler("send_email")]
fn send_email(_: SendEmail) {}

fn publish<J: Job>(message: impl IntoMessage<J>) -> Message<J> {
    message.into_message()
}

fn publish_all<J: Job>(messages: impl IntoIterator<Item = impl IntoMessage<J>>) -> Vec<Message<J>> {
    messages
        .into_iter()
        .map(IntoMessage::into_message)
        .collect()
}

fn main() {
    let email = SendEmail { to: String::new() };
    let _: Message<SendEmail> = publish::<SendEmail>(email.clone());
    let _: Message<SendEmail> = publish(email.clone());
    let _ = publish(email.clone());
    let _ = publish(Message::new(email.clone()).priority(10));
    let _ = publish::<SendEmail>(Message::new(email.clone()));
    let _ = publish(email.clone().into_message());
    let _ = publish_all([email.clone(), email.clone()]);
    let _ = publish_all(vec![Message::new(email.clone())]);
    let _ = publish_all::<SendEmail>((0..2).map(|_| email.clone()));
    let _ = publish_all::<SendEmail>(Some(Message::new(email)));
}
