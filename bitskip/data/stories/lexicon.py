"""Words that casts and plots draw on. Data only: plain lists in strings, `_` for a space in a noun."""

from __future__ import annotations

from dataclasses import dataclass

GIRLS = """
Amara Aiko Alma Anouk Asha Astrid Ayla Beatriz Binta Bella Carmen Chiara Clara Dalia Daria Dina
Edith Elif Elsa Emi Esther Farah Fatou Flora Freya Gita Greta Hana Hazel Ida Ines Ingrid Iris
Ivy Jaya Jun Kaja Kamala Keiko Lan Leila Lena Lucia Luna Mai Mara Maya Mei Mina Mira Nadia Naomi
Nia Nora Olga Paloma Petra Priya Rosa Ruth Sana Selma Sofia Suri Tala Tara Thea Uma Vera Willa
Yara Yuna Zara Zoe
"""

BOYS = """
Abel Adam Ali Amir Anton Arjun Axel Basil Bruno Carlos Chen Cyrus Dan Diego Dov Eli Emil Enzo
Ezra Farid Felix Finn Gabriel Giulio Hassan Hiro Hugo Ian Idris Imre Isaac Ivan Jamal Jonas
Jorge Kai Karim Kofi Kwame Lars Leo Levi Liam Luca Malik Marco Mateo Milo Musa Nils Noah Omar
Oscar Otto Pablo Pavel Rafi Ravi Remy Rui Samir Sami Sven Taro Theo Timur Tomas Viktor Yusuf
Zeki
"""

ANIMAL_GIRLS = """
Bramble Clover Daisy Fern Juniper Maple Nutmeg Olive Pepper Pippa Poppy Primrose Saffron Sorrel
Tansy Tilly
Velvet Willow
"""

ANIMAL_BOYS = """
Acorn Barnaby Biscuit Bristle Burdock Cricket Digby Fidget Hopper Moss Mumble Nibbles Patch
Rowan Rufus Thistle
Tumble Whiskers
"""

MACHINE_GIRLS = "Bertha Birdie Clementine Dolly Dynamo Etta Hattie Matilda Mabel Nellie Pearl Rosie Ruby Trixie"
MACHINE_BOYS = "Albert Boomer Buster Chuffy Clank Gus Hector Jasper Percival Puffin Rumble Rusty Toby Walter"
TOY_GIRLS = "Annabel Buttons Dimple Dot Fifi Gingham Lottie Marigold Minty Patches Pompom Tulip"
TOY_BOYS = "Bobbin Captain Domino Fuzz Jingle Mopsy Muffin Pickle Pinstripe Scraps Tinker Waldo"

TRAITS = """
brave quiet clever cheerful curious patient stubborn gentle dreamy lively honest shy careful
bold funny
thoughtful restless polite playful serious generous proud loyal talkative forgetful kind
hopeful eager calm mischievous imaginative daring busy earnest sunny
"""

COLOURS = """
red blue green yellow purple pink brown silver golden white black turquoise violet scarlet crimson
maroon copper orange grey
"""

MODIFIERS = ("", "", "", "little ", "small ", "shiny ", "old ", "beautiful ", "tiny ", "new ")

THINGS = {
    "pocket": """
whistle marble compass button key coin ring feather badge locket shell pebble crystal medal magnet
bell pocket_watch magnifying_glass paper_crane glass_bird tin_soldier stamp acorn thimble
""",
    "toy": """
kite ball boat truck train puppet doll robot teddy yo-yo pinwheel wagon spinning_top boomerang
frisbee toy_horse
toy_car toy_plane rag_doll stuffed_elephant stuffed_owl wooden_sword sailing_ship wooden_duck
""",
    "music": "drum flute trumpet tambourine harmonica ukulele rattle xylophone accordion fiddle",
    "wear": "scarf cap straw_hat woolen_hat cape crown mask bracelet necklace bow_tie backpack",
    "carry": """
lantern basket bucket umbrella blanket notebook paintbrush book telescope music_box snow_globe
teapot kaleidoscope cushion lunchbox flashlight
""",
    "fitting": "bell lantern flag horn whistle pennant lamp bumper steering_wheel weathervane",
    "trinket": "button ribbon drum flag feather bow bell scarf cap pinwheel thimble marble",
}

PLACES = {
    "town": """
at market, at museum, in school yard, at bakery, at old mill, at station, in town hall, at
fairground,
at town square, at toy shop, at corner shop, at bandstand
""",
    "outdoor": """
in park, in meadow, in garden, in orchard, on playground, at farm, in town square, on village green,
on hill, at old oak, in vineyard, at campsite, behind barn, at stone bridge, in clover field
""",
    "wild": """
in forest, in valley, on hill, in quarry, at waterfall, in pine wood, in gorge, in mountains, on
moor,
at old ruins, in birch grove
""",
    "water": """
at lake, at river, at pond, on beach, at harbour, at lighthouse, on pier, at mill stream, in
bay, by boathouse
""",
    "indoor": """
at library, at museum, in town hall, at theatre, in school hall, in greenhouse, at community centre
""",
    "track": "at harbour, at depot, at station, at crossing, at quarry, at bridge, at market",
    "nursery": "in nursery, in attic, in playroom, in toy shop, under staircase, on window seat, in cellar",
}

FOODS = """
apples pears plums cherries grapes figs dates peaches apricots bananas oranges lemons
strawberries raspberries dumplings pancakes waffles muffins cookies biscuits buns rolls pretzels
tarts
pies sandwiches tomatoes carrots radishes olives walnuts almonds chestnuts crackers meatballs
"""

ANIMALS = """
kitten puppy duckling rabbit hedgehog squirrel sparrow pigeon magpie parrot canary goat piglet mouse
hamster turtle frog lizard robin ladybird raccoon weasel ferret lamb hen crow seagull badger mole
"""

NUMBERS = "zero one two three four five six seven eight nine ten eleven twelve thirteen"

DAYS = {
    "spring": """
One day|One morning|On a Monday|On a Wednesday|One spring morning|One fine day|Early one morning
|One day in April
|On the first warm day of the year|One bright Saturday|On the first day of May|One breezy morning
""".replace("\n", "").split("|"),
    "summer": """
One day|One morning|On a Tuesday|On a Thursday|One summer morning|One fine day|Early one morning
|One day in July
|On the hottest day of the year|One sunny Saturday|On the first day of the holidays
|One golden morning
""".replace("\n", "").split("|"),
    "autumn": """
One day|One morning|On a Friday|On a Wednesday|One autumn morning|One misty day|Early one morning
|One day in October|One windy morning|One grey Saturday|When the leaves were falling
|On the last day of September
""".replace("\n", "").split("|"),
    "winter": """
One day|One morning|On a Monday|On a Sunday|One winter morning|One frosty day|Early one morning
|One day in January
|On the coldest day of the year|One snowy Saturday|On the first day of December|One crisp morning
""".replace("\n", "").split("|"),
}


@dataclass(frozen=True)
class WorldTable:
    """Names and kinds by pronoun; elders as `noun:pronoun:form of address`, parted by commas."""

    names: dict[str, str]
    kinds: dict[str, str]
    elders: str
    relations: str = "best_friend best_friend friend cousin neighbour oldest_friend"


CREATURES = """
little_fox young_badger small_rabbit big_bear sleek_otter tiny_mouse clumsy_goose red_squirrel
round_hedgehog
swift_hare sleepy_koala spotted_fawn fluffy_lamb grey_donkey striped_kitten brown_beaver
little_mole baby_elephant
"""
VEHICLES = """
steam_engine fire_engine blue_tractor yellow_tram snowplough small_bus red_digger milk_van
rescue_truck delivery_truck
"""
TOYS = """
teddy_bear rag_doll tin_soldier wooden_robot stuffed_elephant knitted_rabbit rocking_horse
string_puppet
cloth_penguin velvet_lion
"""

WORLDS = {
    "child": WorldTable(
        {"he": BOYS, "she": GIRLS},
        {
            "he": "little_boy small_boy young_boy freckled_boy curly-haired_boy boy",
            "she": "little_girl small_girl young_girl freckled_girl curly-haired_girl girl",
        },
        "mother:she:Mama, father:he:Papa, grandmother:she:Grandma, grandfather:he:Grandpa, "
        "aunt:she:Auntie, uncle:he:Uncle, big sister:she:sister, big brother:he:brother",
    ),
    "animal": WorldTable(
        {"he": ANIMAL_BOYS, "she": ANIMAL_GIRLS},
        {"he": CREATURES, "she": CREATURES},
        "mother:she:Mama, father:he:Papa, grandmother:she:Granny, grandfather:he:Grandpa, "
        "aunt:she:Auntie, uncle:he:Uncle",
    ),
    "machine": WorldTable(
        {"he": MACHINE_BOYS, "she": MACHINE_GIRLS},
        {"he": VEHICLES, "she": VEHICLES},
        "old crane:he:-, wise ferry:she:-, big locomotive:he:-, station clock:she:-, old lorry:he:-",
        "best_friend friend oldest_friend",
    ),
    "toy": WorldTable(
        {"he": TOY_BOYS, "she": TOY_GIRLS},
        {"he": TOYS, "she": TOYS},
        "grandfather clock:he:-, old rocking chair:she:-, china doll:she:-, music box:she:-, nutcracker:he:-",
        "best_friend friend oldest_friend",
    ),
}
