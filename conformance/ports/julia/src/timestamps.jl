# Times on the wire: strict when written (ENV-9), lenient when read (ENV-R12).

using Dates

const LAST_MS = 253402300799999  # the end of the year 9999
const TIME = r"^(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9}))?(?:[Zz]|([+-])(\d\d)(?::?(\d\d))?)?$"a

"`YYYY-MM-DDTHH:MM:SS.mmmZ`. Times before 1970 are written as 1970, those beyond the year 9999 as its end."
function write_time(unix_ms::Integer)
    when = unix2datetime(0) + Millisecond(clamp(unix_ms, 0, LAST_MS))
    return Dates.format(when, dateformat"yyyy-mm-ddTHH:MM:SS.sss") * "Z"
end

now_text() = write_time(round(Int64, time() * 1000))

"Nanoseconds since 1970, or `nothing` for what is no time."
function parse_time(text::AbstractString)
    isvalid(text) || return nothing
    found = match(TIME, strip(text))
    found === nothing && return nothing
    year, month, day, hour, minute, second = (parse(Int, found[i]) for i in 1:6)
    # A leap second, written as 60, is the first moment of the next minute.
    valid = 1 <= month <= 12 && 1 <= day <= daysinmonth(year, month) && hour <= 23 && minute <= 59 && second <= 60
    valid || return nothing
    offset = 0
    if found[8] !== nothing
        hours, minutes = parse(Int, found[9]), parse(Int, something(found[10], "0"))
        hours <= 23 && minutes <= 59 || return nothing
        offset = (hours * 3600 + minutes * 60) * (found[8] == "-" ? -1 : 1)
    end
    days = Dates.value(Date(year, month, day) - Date(1970))
    nanos = parse(Int, rpad(something(found[7], ""), 9, '0'))
    seconds = Int128(days) * 86400 + hour * 3600 + minute * 60 + second - offset
    return seconds < 0 ? nothing : seconds * 1_000_000_000 + nanos
end
