//! `sparkngin_access`: the site's own traffic as events, one behind each request, in nginx's log phase. Nobody waits for
//! it: what cannot be stored is counted, and the request has long been answered.

use std::ptr::NonNull;

use ngx::ffi::{
    NGX_OK, ngx_array_push, ngx_conf_t, ngx_http_complex_value_t, ngx_http_core_main_conf_t,
    ngx_http_core_module, ngx_http_get_variable_index, ngx_http_handler_pt,
    ngx_http_phases_NGX_HTTP_LOG_PHASE, ngx_http_request_t, ngx_int_t,
};
use sparkngin_core::event::{Form, Given, Tells};
use sparkngin_core::field::{Field, FieldName};

use crate::args::{Args, ConfError};
use crate::bytes;
use crate::conf::MainConf;
use crate::guard::guard;
use crate::request::Incoming;
use crate::worker;

const OK: ngx_int_t = NGX_OK as ngx_int_t;

/// What the directive says.
#[derive(Clone, Debug)]
pub enum Traffic {
    /// `off`
    Off,
    /// Events, for this topic, where the condition is neither empty nor `0`.
    On {
        topic: NonNull<ngx_http_complex_value_t>,
        condition: Option<NonNull<ngx_http_complex_value_t>>,
    },
}

/// The fields, and the variables that they are.
const FIELDS: [(&str, &str, Form); 12] = [
    ("method", "request_method", Form::String),
    ("host", "host", Form::String),
    ("protocol", "server_protocol", Form::String),
    ("status", "status", Form::Number),
    ("bytes", "bytes_sent", Form::Number),
    ("request_time", "request_time", Form::Number),
    ("upstream_addr", "upstream_addr", Form::String),
    ("upstream_status", "upstream_status", Form::Number),
    ("upstream_connect_time", "upstream_connect_time", Form::Number),
    ("upstream_header_time", "upstream_header_time", Form::Number),
    ("upstream_response_time", "upstream_response_time", Form::Number),
    ("request_id", "request_id", Form::String),
];

/// A field, and the number that nginx gave its variable.
#[derive(Debug)]
pub struct Column {
    name: FieldName,
    form: Form,
    index: usize,
}

/// What every event of the traffic has.
#[derive(Debug)]
pub struct Columns {
    kind: FieldName,
    uri: FieldName,
    variables: Vec<Column>,
}

impl Traffic {
    /// Reads the words of the directive.
    ///
    /// # Errors
    /// The word that is wrong.
    pub fn read(args: &mut Args<'_>) -> Result<Traffic, ConfError> {
        if args.off()? {
            return Ok(Traffic::Off);
        }
        let condition = args.words().nth(1).map(<[u8]>::to_vec);
        let topic = args.topic()?;
        let condition = match condition {
            None => None,
            Some(word) if word.starts_with(b"if=") && word.len() > 3 => {
                Some(args.complex(2, b"if=".len())?)
            }
            Some(word) => return Err(args.parameter(&word, "\"if=\" and a condition")),
        };
        Ok(Traffic::On { topic, condition })
    }
}

impl Columns {
    /// Asks nginx for its variables. None if there is no memory.
    fn new(cf: *mut ngx_conf_t) -> Option<Columns> {
        let custom = |name: &str| FieldName::Named(name.as_bytes().into());
        let mut variables = Vec::new();
        for (name, variable, form) in FIELDS {
            let mut text = bytes::constant(variable);
            // SAFETY: while the configuration is read; nginx copies the name.
            let index = unsafe { ngx_http_get_variable_index(cf, &raw mut text) };
            variables.push(Column {
                name: custom(name),
                form,
                index: usize::try_from(index).ok()?,
            });
        }
        Some(Columns { kind: Field::Type.into(), uri: custom("uri"), variables })
    }

    /// Their values for a request.
    fn of<'a>(&'a self, incoming: Incoming<'a>) -> impl Iterator<Item = Given<'a>> {
        let (form, tells) = (Form::String, Tells::Server);
        let kind = Given { name: &self.kind, value: b"access", form, tells };
        let uri = Given { name: &self.uri, value: incoming.sent_path(), form, tells };
        let variables = self.variables.iter().filter_map(move |column| {
            let value = incoming.variable(column.index)?;
            Some(Given { name: &column.name, value, form: column.form, tells })
        });
        [kind, uri].into_iter().chain(variables)
    }
}

/// Has nginx call us behind each request.
pub fn register(
    cf: &mut ngx_conf_t,
    main: &mut MainConf,
    core: &mut ngx_http_core_main_conf_t,
) -> Option<()> {
    main.columns = Some(Columns::new(cf)?);
    let phase = core.phases.get_mut(ngx_http_phases_NGX_HTTP_LOG_PHASE as usize)?;
    // SAFETY: nginx has made the phase's array, of handlers.
    let place = unsafe { ngx_array_push(&raw mut phase.handlers) };
    let place = NonNull::new(place.cast::<ngx_http_handler_pt>())?;
    // SAFETY: a new element of the array, ours to fill in.
    unsafe { place.write(Some(ended)) };
    Some(())
}

/// Where nginx's core module keeps its settings of http.
pub fn core_index() -> usize {
    // SAFETY: nginx's own static, written while modules are counted.
    unsafe { ngx_http_core_module.ctx_index }
}

unsafe extern "C" fn ended(request: *mut ngx_http_request_t) -> ngx_int_t {
    guard("the log phase", OK, || {
        if let Some(request) = NonNull::new(request) {
            // SAFETY: nginx holds the request while it calls its handlers.
            note(unsafe { Incoming::new(request) });
        }
        OK
    })
}

fn note(incoming: Incoming<'_>) {
    let settings = incoming.settings();
    let traffic = settings.traffic.as_ref().filter(|_| settings.has_traffic());
    let Some(Traffic::On { topic, condition }) = traffic.map(|given| &given.value) else { return };
    if let Some(condition) = condition
        && matches!(incoming.evaluate(*condition), Ok(b"" | b"0"))
    {
        return;
    }
    let objects = settings.policy().and_then(|policy| policy.objection(incoming));
    let columns = incoming.main_settings().and_then(|main| main.columns.as_ref());
    let (None, Some(columns)) = (objects, columns) else { return };
    let topic = incoming.evaluate(*topic).unwrap_or_default();
    // What the place says of a name wins.
    let own = settings.variables.iter().flat_map(|variables| variables.iter());
    let mut fields: Vec<_> = own.filter_map(|field| field.given(incoming).ok()).collect();
    fields.extend(columns.of(incoming));
    worker::note(incoming, topic, &fields);
}
