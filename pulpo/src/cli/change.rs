//! `kick` and `delete`: what an operator does about a message.

use std::io::Write;

use super::{Done, KickArguments};
use crate::instance::Pulpo;
use crate::message::MessageId;
use crate::queue::{Filter, State};

pub(super) fn kick(pulpo: &Pulpo, arguments: &KickArguments, out: &mut dyn Write) -> Done {
    let mut filter = Filter::all().state(State::Buried);
    filter.ids = arguments.id.clone().map(|id| [id].into());
    filter.request_type.clone_from(&arguments.request_type);
    let kicked = pulpo.queue().kick(&filter)?;
    if let (0, Some(id)) = (kicked, &arguments.id) {
        return Err(match pulpo.queue().peek(id)? {
            Some(message) => format!("message {id} is {}, and only buried ones can be kicked", message.state).into(),
            None => format!("there is no message {id}").into(),
        });
    }
    writeln!(out, "kicked {kicked}")?;
    Ok(())
}

pub(super) fn delete(pulpo: &Pulpo, id: &MessageId, out: &mut dyn Write) -> Done {
    if pulpo.queue().delete(&Filter::all().id(id.clone()))? == 0 {
        return Err(match pulpo.queue().peek(id)? {
            Some(_) => {
                format!("message {id} is reserved by a worker: wait until it is settled, or its lease ends").into()
            }
            None => format!("there is no message {id}").into(),
        });
    }
    writeln!(out, "deleted {id}")?;
    Ok(())
}
