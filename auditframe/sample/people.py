"""Who and what the made-up organization consists of: places, people, projects, service accounts, keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from auditframe.sample.dice import Dice

_DAY_S = 86_400
_AFTER_S = 10 * _DAY_S  # what does not end in the sample ends this long after it

_FIRST = ("ada", "bela", "chloe", "dario", "emma", "farid", "greta", "hiro", "ines", "jonas", "keiko", "lena")
_LAST = ("abel", "brandt", "costa", "dubois", "endo", "fischer", "garcia", "horvat", "ito", "jansen", "kaya", "lind")
_TITLES = ("Search", "Support bot", "Übersetzung", "Evaluation", "Billing", "Research", "Mobile app", "Données")
_USER_AGENTS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/141.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/26.0 Safari/605.1.15",
    "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0",
)


@dataclass(frozen=True, slots=True)
class Device:
    """What a client shows of itself: its name and the fingerprints of its TLS handshake."""

    user_agent: str
    ja3: str
    ja4: str


SCRIPT = Device("python-requests/2.32.5", "5b7c1d0e9f2a4836b1c07d5e8a9f3642", "t13i181000_85036bcba153_d41ae481755e")


@dataclass(frozen=True, slots=True)
class Place:
    """Where addresses are.

    Attributes:
        network: The first part of its addresses; a number follows.
        first: The lowest of the numbers.
        hosts: How many addresses it uses.
        offset_h: Local time minus UTC [h].
        proxy: The JA3 and JA4 of an intercepting proxy, which stand in for the browser's; None without one.
    """

    network: str
    first: int
    hosts: int
    offset_h: int
    country: str
    city: str
    region: str
    region_code: str
    asn: str
    latitude: str
    longitude: str
    proxy: tuple[str, str] | None = None

    def address(self, host: int) -> str:
        """Return one of the place's addresses."""
        return f"{self.network}{self.first + host % self.hosts}"

    def details(self) -> dict[str, str]:
        """Return what the API says of an address; every value is text, numbers too."""
        return {
            "country": self.country,
            "city": self.city,
            "region": self.region,
            "region_code": self.region_code,
            "asn": self.asn,
            "latitude": self.latitude,
            "longitude": self.longitude,
        }


_PROXY = ("6c1f0a94d7e25b83906f1ce24ab87d35", "t12d190900_3f1a70c2be41_5d0a9e2c7b16")
OFFICES = (
    Place("192.0.2.", 1, 6, -7, "US", "San Francisco", "California", "CA", "64496", "37.77490", "-122.41940"),
    Place("192.0.2.", 65, 4, 1, "DE", "Frankfurt", "Hesse", "HE", "64497", "50.11090", "8.68210", _PROXY),
    Place("192.0.2.", 129, 4, 9, "JP", "Tokyo", "Tokyo", "13", "64498", "35.68950", "139.69170"),
)
HOMES = (
    Place("203.0.113.", 1, 120, -7, "US", "Oakland", "California", "CA", "64500", "37.80440", "-122.27120"),
    Place("2001:db8:49::", 1, 900, 1, "DE", "Mainz", "Rhineland-Palatinate", "RP", "64501", "49.99290", "8.24730"),
    Place("203.0.113.", 128, 120, 9, "JP", "Yokohama", "Kanagawa", "14", "64502", "35.44370", "139.63800"),
)
HOSTING = Place("198.51.100.", 1, 250, 0, "NL", "Amsterdam", "North Holland", "NH", "64511", "52.37400", "4.88970")
BOTNET = Place("2001:db8:bad::", 1, 9000, 0, "NL", "Amsterdam", "North Holland", "NH", "64510", "52.37400", "4.88970")


@dataclass(frozen=True, slots=True)
class Person:
    """A user account, from when it joined until it left [Unix seconds]."""

    id: str
    email: str
    role: str
    begins: int
    ends: int
    seat: int
    office: Place
    home: Place
    device: Device


@dataclass(frozen=True, slots=True)
class Project:
    """A project, from when it was created until it was archived [Unix seconds]."""

    id: str
    title: str
    begins: int
    ends: int

    def reference(self) -> dict[str, str]:
        """Return the project as an event names it."""
        return {"id": self.id, "name": self.title}


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """A service account of a project, from when it was created until it was deleted [Unix seconds]."""

    id: str
    project: Project
    begins: int
    ends: int


@dataclass(frozen=True, slots=True)
class Key:
    """An API key of a person or a service account, from when it was created until it was deleted [Unix seconds]."""

    id: str
    owner: Person | ServiceAccount
    project: Project
    begins: int
    ends: int
    used: bool


@dataclass(frozen=True, slots=True)
class Cast:
    """Everybody and everything that acts in the sample, between its start and its end [Unix seconds]."""

    start: int
    end: int
    people: tuple[Person, ...]
    projects: tuple[Project, ...]
    service_accounts: tuple[ServiceAccount, ...]
    keys: tuple[Key, ...]

    @property
    def founders(self) -> tuple[Person, ...]:
        """Those who were there before the sample starts and are there when it ends."""
        return tuple(one for one in self.people if one.begins < self.start and one.ends >= self.end)

    @property
    def owners(self) -> tuple[Person, ...]:
        """The founders who may administer the organization."""
        return tuple(one for one in self.founders if one.role == "owner")

    @property
    def lasting_projects(self) -> tuple[Project, ...]:
        """The projects that were there before the sample starts and are there when it ends."""
        return tuple(one for one in self.projects if one.begins < self.start and one.ends >= self.end)


def gather(dice: Dice, *, size: int, start: int, end: int) -> Cast:
    """Make the cast of an organization with `size` people."""
    empty = Cast(start, end, (), (), (), ())
    people = tuple(_person(dice, empty, number) for number in range(size))
    projects = tuple(_project(dice, empty, number) for number in range(6 + size // 20))
    with_projects = Cast(start, end, people, projects, (), ())
    accounts = tuple(_service_account(dice, with_projects, number) for number in range(6 + size // 10))
    owners: tuple[Person | ServiceAccount, ...] = (*accounts, *accounts, *accounts, *people)
    keys = tuple(_key(dice, with_projects, owner) for owner in owners)
    met = tuple(key for key in keys if max(key.begins, start) < min(key.ends, end))
    return Cast(start, end, people, projects, accounts, met)


def _person(dice: Dice, cast: Cast, number: int) -> Person:
    first, last = _FIRST[number % len(_FIRST)], _LAST[number // len(_FIRST) % len(_LAST)]
    again = number // (len(_FIRST) * len(_LAST))
    place = dice.below(len(OFFICES))
    begins, ends = _life(dice, cast, number)
    return Person(
        id="user-" + dice.token(24),
        email=f"{first}.{last}{again or ''}@example.com",
        role="owner" if number in {0, 1, 2} else "member",
        begins=begins,
        ends=ends,
        seat=number,
        office=OFFICES[place],
        home=HOMES[place],
        device=Device(dice.pick(_USER_AGENTS), dice.hex(32), f"t13d1516h2_{dice.hex(12)}_{dice.hex(12)}"),
    )


def _project(dice: Dice, cast: Cast, number: int) -> Project:
    title = _TITLES[number % len(_TITLES)] + (f" {number // len(_TITLES) + 1}" if number >= len(_TITLES) else "")
    return Project("proj_" + dice.token(20), title, *_life(dice, cast, number))


def _service_account(dice: Dice, cast: Cast, number: int) -> ServiceAccount:
    return ServiceAccount("svc_acct-" + dice.token(20), dice.pick(cast.lasting_projects), *_life(dice, cast, number))


def _life(dice: Dice, cast: Cast, number: int) -> tuple[int, int]:
    """Draw when a thing begins and ends: one in four begins inside the sample, one in six ends there."""
    span = cast.end - cast.start
    begins = cast.start - _DAY_S * dice.between(30, 400)
    if number % 4 == 3:
        begins = cast.start + span // 20 + dice.below(span * 3 // 4)
    if number % 6 != 5:
        return begins, cast.end + _AFTER_S
    return begins, dice.between(max(begins, cast.start) + span // 16, cast.end - span // 16)


def _key(dice: Dice, cast: Cast, owner: Person | ServiceAccount) -> Key:
    project = owner.project if isinstance(owner, ServiceAccount) else dice.pick(cast.projects)
    earliest = max(owner.begins, project.begins) + 60
    latest = min(owner.ends, project.ends) - 60
    begins = earliest
    if dice.below(10) < 7:
        begins = dice.between(max(earliest, cast.start), min(latest, cast.end))
    ends = min(begins + 600 + dice.below(cast.end - begins), latest) if dice.chance(4) else latest
    return Key("key_" + dice.token(16), owner, project, begins, ends, used=not dice.chance(4))
