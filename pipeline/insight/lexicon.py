"""Closed lists of English function words and verbs, by what they do in a sentence. Lower case, straight apostrophes."""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


STOP = _words("""
    a about actually after again all also always am an and any are aren't as at be because been before being both
    but by can can't come could did didn't do does doesn't doing don't down each even every few for from get gets
    getting go goes going gonna got had has have having he he's her here here's him his how i i'd i'll i'm i've if
    in into is isn't it it's its just kind know let let's like little lot made make many maybe me mean more most
    much my no not now of off oh okay on one only or other our out over own people pretty probably put quite
    really right said same say see she should so some something sort still such take than that that's the their
    them then there there's these they they're thing things think this those though through time to too up us use
    very want was way we we'd we'll we're we've well were what what's when where which while who why will with
    would yeah yes yet you you'd you'll you're you've your
""")
"""Words that carry no subject."""

PRONOUNS = _words("""
    he she it they them this that these those it's that's they're he's she's it'd it'll that'll there which his
    her their its him who whose
""")
"""At the start of a passage they point to something before it."""

CONNECTIVES = _words("""
    and but so or because then also plus anyway which although though cause 'cause nor
""")
"""They join a sentence to the one before."""

ANSWERS = _words("""
    yeah yes yep yup no nope right exactly sure okay ok oh ah uh um hmm well absolutely totally definitely correct
    true wow cool great awesome nice indeed mhm gotcha
""")
"""Answer particles and interjections."""

SAYING = _words("""
    is was are it's that's means mean meant saw see realized realised realize found find know knew shows show showed
    learn learned learnt noticed discovered convinced suggests understand fact point conclusion reason
""")
"""What follows one of these and "that" is what a speaker holds true: a claim of its own. What others say is not."""

LOOSE_ENDS = _words("""
    much many able better worse too so a an the and or but if because that which who whose when where while than
    as of in on at to from with by for into about over like is are was were be been am not no very really just
    more most some any each every my your our their his her its this these those i we you he she they it's that's
    there's can could will would should may might must do does did don't doesn't didn't have has had going gonna
    want wants need needs trying try kind sort even also only both either without until unless what how why then
    they're we're you're i'm let's such same other between through versus rather instead whether being having get
    gets make makes say says saying think means
""")
"""A title never ends with one of these."""

SUBORDINATE = _words("""
    when if unless until as because while whether what how why where since once although whereas otherwise after
    before
""")
"""What they open claims nothing without a main clause."""

RELATIVE = _words("""
    that which who where to
""")
"""A verb after one of these is not that of the main clause."""

PERSONAL = _words("""
    i my i'm i've i'd i'll me
""")
"""They open a story about the speaker."""

PREPOSITIONS = _words("""
    to of in for with as than from at by who not without about into on
""")
"""A clause that opens with one is most often the rest of another."""

TALK = _words("""
    think guess say saying said talk asked remember told feel mean idea question basically
""")
"""Talk about talking."""

VAGUE = _words("""
    he she it they them this that these those there here it's that's they're he's she's there's here's it'll
    that'll they've they'd it'd which who whose him her his their its hers theirs
""")
"""What they stand for is elsewhere."""

EMPTY_NOUNS = _words("""
    thing things something anything everything somebody someone anybody anyone one ones stuff way ways lot lots bit guy
    guys part place kind kinds sort sorts case cases point points time times day example sense
""")
"""They stand for a subject that is named elsewhere."""

HEDGES = _words("""
    maybe perhaps apparently hopefully certainly sometimes probably possibly ideally hey literally
""")
"""A title that opens with one claims little."""

PRESENT = _words("""
    is are am isn't aren't can can't cannot will won't should shouldn't must may might has hasn't have haven't do
    don't does doesn't needs need wants want means mean makes make takes take gets get gives give goes go comes
    come becomes become keeps keep lets let leads lead costs cost wins win loses lose beats beat works work helps
    help shows show tells tell says say knows know feels feel sees see finds find looks look turns turn starts
    start stops stop runs run builds build uses use changes change learns learn grows grow falls fall rises rise
    drops drop matters matter happens happen tends tend depends depend creates create causes cause requires
    require solves solve fails fail breaks break moves move pays pay spends spend saves save buys buy sells sell
    hires hire ships ship writes write reads read trusts trust hides hide measures measure remains remain stays
    stay puts put brings bring holds hold allows allow enables enable reduces reduce increases increase improves
    improve understands understand asks ask tries try fits fit follows follow exists exist lives live wakes
    multiplies multiply cuts cut hurts hurt ends end forces force drives drive kills kill scales scale deserves
    deserve predicts predict protects protect produces produce prevents prevent replaces replace refuse refuses
    remove removes offer offers watch watches search searches pass passes check checks miss misses accept accepts
    add adds agree agrees apply applies attract attracts avoid avoids begin begins believe believes belong belongs
    carry carries choose chooses combine combines compare compares consume consumes contain contains control
    controls convert converts cover covers define defines deliver delivers destroy destroys determine determines
    develop develops disappear disappears discover discovers earn earns eat eats emerge emerges encourage
    encourages expect expects explain explains fix fixes focuses forget forgets generate generates handle handles
    hate hates ignore ignores include includes influences introduce introduces join joins judge judges launches
    lacks love loves maintain maintains manage manages notice notices operate operates outperform outperforms
    perform performs prefer prefers provide provides pushes raise raises reach reaches receive receives refer
    refers remember remembers reflect reflects represent represents respond responds reveal reveals reward rewards
    send sends serve serves sit sits split splits spread spreads stand stands struggle struggles succeed succeeds
    suffer suffers supports surprises survive survives teach teaches touch touches transform transforms travel
    travels treat treats wait waits walk walks waste wastes wear wears
""")
"""Finite verbs in the present: rules."""

PAST = _words("""
    was were wasn't weren't could couldn't would wouldn't had hadn't did didn't meant made took got gave went came
    became kept led lost won worked helped showed told said knew thought felt saw found looked turned started
    stopped ran built used changed learned learnt grew fell rose dropped mattered happened tended created caused
    required solved failed broke moved paid spent saved bought sold hired shipped wrote trusted hid measured
    stayed brought held allowed enabled reduced increased improved understood asked tried followed existed lived
    doubled ended forced drove killed refused removed offered watched searched passed checked missed accepted
    added agreed applied avoided began believed belonged carried chose combined compared contained controlled
    converted covered defined delivered demanded destroyed determined developed disappeared discovered earned ate
    emerged encouraged expected explained fixed focused forgot formed generated handled hated ignored included
    introduced joined judged launched lacked liked loved maintained managed named noticed operated outperformed
    performed preferred provided pushed raised reached received remembered responded resulted revealed rewarded
    sent served shared sat stood struggled succeeded suffered supported survived taught tested touched trained
    transformed treated waited walked wasted wore typed
""")
"""Finite verbs in the past: stories."""

NOUN_BEFORE = _words("""
    the a an this these those my your our his her its their of in for with from by at on into about no any some
    each every more less most first last next same new good bad big great real own other another such very too
    much many few several all both single different whole certain better best hard long short or
""")
"""After one of these, a word that may be a noun or a verb is a noun."""

AUXILIARIES = _words("""
    is are am was were be been being isn't aren't wasn't weren't do does did don't doesn't didn't have has had
    haven't hasn't hadn't can can't cannot could couldn't will won't would wouldn't should shouldn't must may
    might
""")
"""They are verbs wherever they stand."""

OPENERS = _words("""
    that which who whom whose where what how why whether if when because while unless until although though
    whereas once so whenever wherever whatever
""")
"""A clause of its own follows, with its own verb."""

IMPERATIVES = _words("""
    give start stop fix hide ask build write make take keep let focus find learn avoid try think look watch
    measure move put use never always don't choose pick treat invest spend remember say show pay trust test ship
    hire design begin turn get do be
""")
"""Verbs that advice opens with."""

CLAIM = _words("""
    not never always only more less better worse best worst most than because instead every no nobody nothing
    without must should can't cannot don't doesn't isn't aren't won't didn't easier harder faster slower cheaper
    important key hardest biggest problem reason difference actually same enough too impossible
""")
"""Words that claims are made with: comparison, negation, reason."""

JOINS = _words("""
    and but so because
""")
"""A main clause follows them."""

SUBJECTS = _words("""
    the a an we you people everyone nobody they he she it i most every each our your their this that there no all
    some one it's that's you're we're they're don't never always
""")
"""After a comma, a clause of its own begins with one of these."""
