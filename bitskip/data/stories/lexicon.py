"""Words and sentences that every plot draws on. Data only; nouns agree with the articles that `cast.py` puts before them."""

GIRLS = """
Amara Aiko Alma Anouk Asha Astrid Ayla Beatriz Binta Bella Carmen Chiara Clara Dalia Daria Dina Edith Elif Elsa Emi
Esther Farah Fatou Flora Freya Gita Greta Hana Hazel Ida Ines Ingrid Iris Ivy Jaya Jun Kaja Kamala Keiko Lan Leila
Lena Lucia Luna Mai Mara Maya Mei Mina Mira Nadia Naomi Nia Nora Olga Paloma Petra Priya Rosa Ruth Sana Selma Sofia
Suri Tala Tara Thea Uma Vera Willa Yara Yuna Zara Zoe
""".split()

BOYS = """
Abel Adam Ali Amir Anton Arjun Axel Basil Bo Bruno Carlos Chen Cyrus Dan Diego Dov Eli Emil Enzo Ezra Farid Felix Finn
Gabriel Giulio Hassan Hiro Hugo Ian Idris Imre Isaac Ivan Jamal Jonas Jorge Kai Karim Kofi Kwame Lars Leo Levi Liam
Luca Malik Marco Mateo Milo Musa Nils Noah Omar Oscar Otto Pablo Pavel Rafi Ravi Remy Rui Samir Sami Sven Taro Theo
Timur Tomas Udo Viktor Wim Yusuf Zeki
""".split()

KINDS = """
little_fox young_badger small_rabbit gentle_bear curious_otter tiny_mouse clumsy_goose cheerful_squirrel
round_hedgehog swift_hare sleepy_koala spotted_fawn fluffy_lamb wooden_robot friendly_dragon grey_donkey
""".split()

TRAITS = """
brave quiet clever cheerful curious patient stubborn gentle dreamy lively honest shy careful bold funny thoughtful
restless polite playful serious generous messy proud loyal neat talkative forgetful kind nimble hopeful eager calm
mischievous imaginative tidy daring tender busy earnest sunny
""".split()

COLOURS = """
red blue green yellow purple pink brown silver golden white black turquoise violet scarlet crimson maroon copper
""".split()

TREASURES = """
kite ball drum flute whistle lantern marble yo-yo puppet doll teddy truck wagon boat train robot puzzle
pinwheel trumpet tambourine scarf cap mitten basket bucket shovel compass telescope magnet bell rattle top
boomerang frisbee hoop rope lunchbox backpack umbrella blanket pillow cushion mug teapot saucer spoon button
ribbon feather shell pebble crystal ring bracelet necklace crown mask wand cape boot slipper sock notebook pencil
crayon paintbrush book postcard stamp key lock coin purse music_box snow_globe toy_horse toy_car
toy_plane rocking_horse paper_crane wooden_sword pocket_watch magnifying_glass sailing_ship tin_soldier
rag_doll stuffed_elephant stuffed_owl glass_bird clay_pot straw_hat woolen_hat bow_tie jigsaw harmonica
ukulele xylophone accordion kaleidoscope flashlight figurine medal badge locket
""".split()

PLACES = """
park market harbour beach meadow library school playground garden orchard forest river lake pond castle museum
theatre zoo farm barn mill station square fountain bridge lighthouse hill cave valley village vineyard
greenhouse bakery workshop stable temple tower island quarry campsite fairground stadium bandstand boathouse
bus_stop corner_shop old_oak stone_wall
""".split()

FOODS = """
apples pears plums cherries grapes figs dates peaches apricots mangoes bananas oranges lemons berries strawberries
raspberries melons dumplings pancakes waffles muffins cookies biscuits buns rolls pretzels tarts pies sandwiches
tomatoes carrots radishes olives walnuts almonds chestnuts samosas tortillas crackers meatballs
""".split()

ANIMALS = """
kitten puppy duckling rabbit hedgehog squirrel sparrow pigeon magpie parrot canary goat calf foal piglet mouse hamster
turtle frog toad lizard beetle ladybird butterfly moth bat raccoon weasel ferret lamb hen rooster crow raven seagull
swan heron badger mole cub
""".split()

SAD = "sad unhappy gloomy miserable downcast upset sorrowful disappointed lonely heavy-hearted troubled blue".split()
GLAD = "glad happy delighted joyful cheerful thrilled overjoyed merry pleased content radiant proud".split()

SAID = "said said said replied answered remarked".split()
ASKED = "asked asked wondered inquired".split()
CRIED = "cried exclaimed shouted called gasped".split()

ELDERS = """
mother:she father:he grandmother:she grandfather:he aunt:she uncle:he cousin:she godfather:he stepmother:she
stepfather:he teacher:she neighbour:he nanny:she
""".split()

NUMBERS = "zero one two three four five six seven eight nine ten eleven twelve".split()

DAYS = """
One morning|One afternoon|One evening|One day|On Monday|On Tuesday|On Wednesday|On Thursday|On Friday|On Saturday|On
Sunday|The next morning|Early one spring day|One hot summer day|On a foggy autumn day|One frosty winter day|During the
holidays|After breakfast|Just after lunch|Before supper|On the first day of May|On the last day of school|One windy
afternoon|One cloudy Sunday|Late in the week
""".replace("\n", " ").strip().split("|")

OPENINGS = """
Once upon a time there was {kind} named {H}. {He} was {trait} and {trait2}.
{H} was {kind}, {trait} but also {trait2}, who lived not far from {p}.
In a house with a {colour2} door lived {kind} called {H}, as {trait} as anyone could be.
There once was {kind} named {H} who was known for being {trait}.
Not long ago, near {p}, there lived {kind} by the name of {H}. Everyone said that {he} was {trait}.
{H} lived with {G} above a shop that sold {food}. {He} was {kind}, {trait} and {trait2}.
This is a story about {H}, {kind} who was sometimes {trait} and sometimes {trait2}.
At the edge of town, where the road bends toward {p}, lived {H}, {kind}.
Do you know {H}? {He} is {kind}, {trait} from head to toe.
Long ago, when the streets were still made of stone, {kind} named {H} lived close to {p}.
{H} woke up early, as {he} always did. {He} was {kind}, and {trait} people cannot stay in bed.
Nobody in the street was as {trait} as {H}, {kind} with {colour2} shoes.
In a village of {many} houses there lived {kind} called {H}, {trait} and {trait2}.
{GC} often said that {H} was the most {trait} child in the world. And {H}, {kind}, believed it.
Every day {H} walked past {p}. {He} was {kind}, too {trait} to hurry.
Far away, behind {many} hills, lived {kind} named {H} who felt {trait} on most days.
When the bells rang at {p}, {H} always smiled, for {he} was {kind} who was {trait} and loved music.
{H} and {G} shared a small flat with a view of {p}. {H} was {kind}, very {trait}.
If you had walked to {p} that year, you would have met {H}, {kind} with a {trait} smile.
People called {him} {trait}, some called {him} {trait2}, but {his} name was {H}, and {he} was {kind}.
""".strip().splitlines()

BELONGINGS = """
{GC} had once given {him} {aco}, and {he} took it everywhere.
Of all {his} things, {he} loved {his} {co} the most.
{His} greatest treasure was {aco} that had belonged to {G}.
{He} owned {aco}, which {he} had found at {p} one rainy day.
For {his} birthday {he} had received {aco}, and since then {he} had hardly put it down.
{His} {co} went with {him} to school, to bed and even to the dentist.
In {his} bag there was always {aco}, wrapped in a clean cloth.
{He} had {aco}. It was not expensive, but to {him} it was worth more than gold.
{GC} had made {him} {aco} with patient hands.
Beside {his} bed stood {aco}, polished every evening.
{He} had saved coins for {many} months to buy {aco}.
A sailor had once swapped {him} {aco} for {many} {food}.
""".strip().splitlines()

FRIENDS = """
{His} best friend was {F}, who laughed at all {his} jokes.
{F}, the {trait3} one from across the road, was {his} friend.
{He} had a friend called {F}, and {F} was rather {trait3}.
Most of the time {he} played with {F}, who was {trait3}.
{F} and {H} had known each other since they were babies.
There was also {F}, {trait3} and always hungry for {food}.
If {H} was the thunder, {F} was the lightning.
With {F}, who was {trait3}, {he} could talk about anything.
{F} lived {many} doors away and whistled whenever {fhe} came by.
""".strip().splitlines()

WEATHER = """
The sky was as clear as glass.
A soft breeze carried the smell of {food}.
Grey clouds hung low over {p}.
The sun had just dried the last puddles.
Somewhere a dog barked, and a bicycle rang its bell.
Dew still glistened on the grass.
It was the kind of day that smells of adventure.
Bees hummed around the lavender.
The leaves had begun to turn yellow.
A thin mist covered the fields.
Swallows drew circles in the air.
It was so quiet that one could hear the clock tick.
Snowflakes drifted past like feathers.
The streets were busy, and {G} had a list of errands.
The wind played with the laundry on the line.
Far off, a train whistled.
The moon was still visible, pale as milk.
Warm rain had washed the dust from the roofs.
A rainbow leaned over the chimneys.
The {animals} were noisy that day.
The river murmured under its thin blanket of fog.
Church bells counted the hour: {many}.
""".strip().splitlines()

ASIDES = """
"What a day," {said} {F}, and {H} nodded.
For a moment nobody spoke.
{F} scratched {fhis} chin and thought it over.
{H} took a deep breath and counted to {many}.
A passing {animal} stopped to watch them.
"Are you sure?" {asked} {F}. "I am sure," {said} {H}.
{H} thought of what {G} always said: one thing after another.
Both of them had crumbs of {food} on their sleeves.
"I have an idea," {said} {F}, "but it is a strange one."
{H} looked at {F}, and {F} looked at {H}.
"{F}," {H} whispered, "do you hear that?" It was only {aanimal}.
Their hearts were beating fast.
{F} hummed a tune that {H} knew from {p}.
It took longer than they had expected.
"Patience," {said} {F}, although {fhe} was not very patient {fself}.
"Do you think that it will work?" {H} {asked}. {F} shrugged.
{H} wiped {his} forehead with {his} sleeve.
They rested a while and ate some {food}.
""".strip().splitlines()

KEEPS_MEMORIES = """
That night the {co} stood beside {his} bed, as always.
{H} carried the {o} home under {his} arm and hummed.
On the way back from {p}, {he} showed the {o} to {G} and told {ghim} everything.
Before {he} fell asleep, {H} touched the {co} once more.
"You and I," {H} told the {o}, "have had quite a day."
{GC} listened to the whole story while {H} turned the {co} in {his} hands.
The {co} was dusty now, but {he} did not mind.
""".strip().splitlines()

GIVES_MEMORIES = """
The {co} lived in the house of {F} from that day on, and {H} visited it often.
That night {H} looked at the empty place on {his} shelf and smiled.
"Do you miss the {o}?" {asked} {G}. "Sometimes," {said} {H}, "but I like where it is."
Whenever {he} saw the {co} in the hands of {F}, {he} felt warm inside.
""".strip().splitlines()

CLOSINGS = """
{H} was {glad}, and so was {F}.
{H} and {F} walked home in the golden light, {glad} and tired.
And if you go to {p} today, you may still meet {H} and {F} there.
{H} slept well that night.
{GC} kissed {him} on the forehead and turned off the light.
The end of the day was the best part of it.
{F} waved from the corner until {H} was out of sight.
They talked about it for {many} weeks.
From that day on, {H} and {F} were closer than ever.
{H} went to bed {glad}, with the window open.
And that was how {H}, the {trait} one, learned something new.
"Tomorrow," {said} {F}, "let us meet at {p} again." And they did.
{GC} was waiting with warm soup, and {H} told {ghim} all about {F}.
{H} laughed, {F} laughed, and even the {animal} seemed to laugh.
Nobody in town forgot that day.
When {H} grew up, {he} told this story to {his} own children.
{H} felt {glad} from the top of {his} head to the tips of {his} toes.
The stars came out over {p}, {many} of them at first, and then too many to count.
""".strip().splitlines()
