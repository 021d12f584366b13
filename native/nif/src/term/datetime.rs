use rustler::types::atom::Atom;
use rustler::{Decoder, Term};
use snakepit_protocol::value::ValueError;

use crate::atoms;

/// Elixir's calendar structs as ISO 8601 text, as their own `to_iso8601` gives it. Every other
/// struct is refused: only its owner knows what it should look like in Python.
pub(super) fn iso8601(term: Term<'_>, module: Atom) -> Result<String, ValueError> {
    let name = || {
        let module = module.to_term(term.get_env()).atom_to_string().unwrap_or_default();
        module.strip_prefix("Elixir.").map(str::to_owned).unwrap_or(module)
    };
    let text = if module == atoms::date() {
        date(term)
    } else if module == atoms::time() {
        time(term)
    } else if module == atoms::naive_date_time() {
        naive(term)
    } else if module == atoms::date_time() {
        naive(term).and_then(|naive| Some(naive + &offset(term)?))
    } else {
        return Err(ValueError::new(format!(
            "%{}{{}} cannot be sent to Python; convert it to a plain map first",
            name()
        )));
    };
    text.ok_or_else(|| {
        ValueError::new(format!("%{}{{}} has a calendar other than Calendar.ISO", name()))
    })
}

fn naive(term: Term<'_>) -> Option<String> {
    Some(format!("{}T{}", date(term)?, time(term)?))
}

fn date(term: Term<'_>) -> Option<String> {
    if field::<Atom>(term, atoms::calendar())? != atoms::calendar_iso() {
        return None;
    }
    let year: i64 = field(term, atoms::year())?;
    let month: u8 = field(term, atoms::month())?;
    let day: u8 = field(term, atoms::day())?;
    let sign = if year < 0 { "-" } else { "" };
    Some(format!("{sign}{:04}-{month:02}-{day:02}", year.unsigned_abs()))
}

fn time(term: Term<'_>) -> Option<String> {
    let hour: u8 = field(term, atoms::hour())?;
    let minute: u8 = field(term, atoms::minute())?;
    let second: u8 = field(term, atoms::second())?;
    let (microsecond, precision): (u32, usize) = field(term, atoms::microsecond())?;
    let fraction = format!("{microsecond:06}");
    let fraction = match precision {
        0 => String::new(),
        digits => format!(".{}", fraction.get(..digits)?),
    };
    Some(format!("{hour:02}:{minute:02}:{second:02}{fraction}"))
}

fn offset(term: Term<'_>) -> Option<String> {
    let utc: i32 = field(term, atoms::utc_offset())?;
    let std: i32 = field(term, atoms::std_offset())?;
    let zone: String = field(term, atoms::time_zone())?;
    let total = utc + std;
    if total == 0 && zone == "Etc/UTC" {
        return Some("Z".to_owned());
    }
    let sign = if total < 0 { '-' } else { '+' };
    let minutes = total.abs() / 60;
    Some(format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60))
}

fn field<'a, T: Decoder<'a>>(term: Term<'a>, name: Atom) -> Option<T> {
    term.map_get(name).and_then(Term::decode).ok()
}
