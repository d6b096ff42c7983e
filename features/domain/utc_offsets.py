"""Standard-time UTC offsets of countries, in minutes east of UTC.

The local hour of a payment is that of the payer's country, else the payee's, else UTC. A country has one offset,
without daylight saving: a replay years later must give the same feature, whatever the time-zone database says then.
Large countries use the zone of their most populous city.
"""

from __future__ import annotations

UTC_OFFSET_MINUTES: dict[str, int] = {
    "AE": 240, "AR": -180, "AT": 60, "AU": 600, "BD": 360, "BE": 60, "BG": 120, "BH": 180,
    "BR": -180, "BT": 360, "CA": -300, "CH": 60, "CL": -240, "CN": 480, "CO": -300, "CZ": 60,
    "DE": 60, "DK": 60, "EG": 120, "ES": 60, "ET": 180, "FI": 120, "FR": 60, "GB": 0, "GH": 0,
    "GR": 120, "HK": 480, "HR": 60, "HU": 60, "ID": 420, "IE": 0, "IL": 120, "IN": 330, "IQ": 180,
    "IR": 210, "IS": 0, "IT": 60, "JO": 180, "JP": 540, "KE": 180, "KH": 420, "KR": 540, "KW": 180,
    "LA": 420, "LB": 120, "LK": 330, "LT": 120, "LU": 60, "LV": 120, "MA": 60, "MM": 390, "MU": 240,
    "MV": 300, "MX": -360, "MY": 480, "NG": 60, "NL": 60, "NO": 60, "NP": 345, "NZ": 720, "OM": 240,
    "PE": -300, "PH": 480, "PK": 300, "PL": 60, "PT": 0, "QA": 180, "RO": 120, "RS": 60, "RU": 180,
    "SA": 180, "SE": 60, "SG": 480, "SI": 60, "SK": 60, "TH": 420, "TN": 60, "TR": 180, "TW": 480,
    "TZ": 180, "UA": 120, "UG": 180, "US": -300, "UZ": 300, "VN": 420, "ZA": 120,
}  # fmt: skip
