"""Sentences around the plots. Data only; the notation is that of `markup`, one entry a line;
an indented line continues the one before.

Weather and threads come in pairs parted by ` || `: told before the plot, and taken up after it.
In a recap `#` stands for what happened.
"""

OPENINGS = """
Once upon a time there was {kind} named {H}. {He} was {trait} and {trait2}.
{H} was {kind}, {trait} [but also|and also|and sometimes] {trait2}.
In a house with {acolour2} door lived {kind} called {H}, as {trait} as anyone could be.
There once was {kind} named {H}, who was known for being {trait}.
Not long ago, in a small village, there lived {kind} by the name of {H}. Everyone said that {he}
    was {trait}.
{H} lived with {G} above a shop that sold {food}. {He} was {kind}, {trait} and {trait2}.
This is a story about {H}, {kind} who was sometimes {trait} and sometimes {trait2}.
At the edge of town, where the road bends toward the river, lived {H}, {kind}.
Do you know {H}? {He} was {kind}, {trait} from head to toe.
Long ago, when the streets were still made of stone, {kind} named {H} lived close to {p}.
{H} always woke up early. {He} was {kind}, and [{trait} as can be|very {trait}].
Nobody for miles around was as {trait} as {H}, {kind} with bright eyes.
In a village of {many} houses there lived {kind} called {H}, {trait} and {trait2}.
{GC} often said that nobody was as {trait} as {H}. And {H}, {kind}, believed it.
Far away, behind {many} hills, lived {kind} named {H}, who felt {trait} on most days.
{H} and {G} shared a small home with a view of {p}. {H} was {kind}, very {trait}.
People called {him} {trait}, some called {him} {trait2}, but {his} name was {H}, and {he} was
    {kind}.
There was [once|one year] {kind} whose name was {H}. {He} was {age} years old and {trait}.
{H} was {age} years old. {He} was {kind} who was {trait} at home and {trait2} everywhere else.
Let me tell you about {H}. {He} was {kind}, {age} years old, and {trait}.
Down by the old railway lived {kind} called {H}. {He} was {trait}, and {he} loved {food}.
Have you ever met somebody who was both {trait} and {trait2}? {H} was like that. {He} was {kind}.
If you had come by that year, you would have met {H}, {kind} with {acolour2} jacket.
{H} had just turned {age}. {He} was {kind}, [rather|quite|wonderfully] {trait}.
[Once there lived|There once lived] {kind} called {H}, who was {trait}. {He} lived with {G}.
"""

BELONGINGS = """
{GC} had once given {him} {aco}, and {he} [loved it dearly|was very proud of it|kept it close].
Of all {his} things, {he} loved {his} {co} the most.
{His} greatest treasure was {aco} that had belonged to {G}.
{He} owned {aco}, which {he} had found one rainy day.
For {his} birthday {he} had received {aco}, and since then {he} had hardly put it down.
{He} had {aco}. It was not expensive, but to {him} it was worth more than gold.
{GC} had made {him} {aco} with patient hands.
Beside {his} bed stood {aco}, polished every evening.
{He} had saved coins for {many} months to buy {aco}.
A sailor had once swapped {him} {aco} for {many} {food}.
What {he} liked best in all the world was {his} {co}.
Wherever {he} went, {he} took {his} {co} along.
At the fair {he} had won {aco}, and {he} showed it to everyone.
{He} never left home without {his} {co}, which had come from {G}.
{His} friends knew {him} by {his} {co}. There was no other like it.
"""

FRIENDS = """
{His} {frel} was {F}, who laughed at all {his} jokes.
{F}, {his} {frel}, was {ftrait} and lived {many} doors away.
{He} had a friend called {F}, and {F} was rather {ftrait}.
Most of the time {he} played with {F}, {his} {frel}, who was {ftrait}.
{F} and {H} had known each other since they were babies.
Then there was {F}, {his} {frel}, {ftrait} and always hungry for {food}.
If {H} was the thunder, {F} was the lightning. They were friends.
With {F}, {his} {frel}, {he} could talk about anything.
{F} was {his} {frel} and whistled whenever {fhe} came by.
{F}, the {ftrait} one, was {his} {frel}, and you seldom saw one without the other.
"""

BRIEF = """
{H}, {kind}, had {aco} and a good friend called {F}.
There was {kind} called {H}. {He} had {aco}, and {his} {frel} was {F}.
{H} was {kind}, {F} was {his} {frel}, and {his} {co} was always with {him}.
{H} and {his} {frel} {F} were never far apart, and neither were {H} and {his} {co}.
Once there lived {kind} named {H}, who loved two things: {his} {frel} {F} and {his} {co}.
This is the story of {H}, {kind}, of {his} {frel} {F}, and of {aco}.
"""

BRIEF_ALONE = """
{H}, {kind}, had {aco}, but {he} wished for a new friend.
There was {kind} called {H}. {He} had {aco}, and {he} wished for company.
{H} was {kind}, and {his} {co} was always with {him}. What {he} missed was a friend.
"""

WEATHER = {
    "spring": """
The apple trees were in blossom.
  || Petals from the apple trees lay on the path like snow.
Warm rain had washed the dust from the roofs.
  || The last puddles had dried by then.
Swallows drew circles in the air.
  || The swallows had gone to sleep under the roof.
A soft breeze carried the smell of cut grass.
  || The breeze had died down, and everything smelled of grass.
The first bees hummed around the tulips.
  || Even the bees had gone home from the tulips.
A rainbow leaned over the chimneys.
  || The rainbow had long faded, but nobody minded.
Snails were crossing the wet path.
  || The snails had finally reached the other side of the path.
""",
    "summer": """
The sky was as clear as glass.
  || The clear sky turned pink, then violet.
It was so hot that the dogs lay in the shade.
  || A cool wind came at last, and the dogs got up and stretched.
Crickets sang in the dry grass.
  || The crickets were still singing.
The sun had just climbed over the roofs.
  || The sun slipped down behind the roofs.
Bees hummed around the lavender.
  || The lavender smelled even stronger in the evening.
Not a leaf was moving.
  || At last a small wind moved the leaves.
Far off, thunder grumbled, but no rain came.
  || That night the rain came after all, soft and warm.
""",
    "autumn": """
The leaves had begun to turn yellow.
  || Yellow leaves danced down around them.
A thin mist covered the fields.
  || The mist came back over the fields, white and silent.
The wind played with the laundry on the line.
  || The wind had grown tired, and the laundry hung still.
Grey clouds hung low over the chimneys.
  || The grey clouds had opened, and one star looked through.
Geese were flying south in a long line.
  || High above, one last line of geese flew south.
It smelled of smoke and ripe pears.
  || Someone was burning leaves, and the smoke rose straight up.
""",
    "winter": """
Snowflakes drifted past like feathers.
  || It was still snowing, softly, without a sound.
Frost had drawn flowers on the windows.
  || The frost flowers on the windows had melted.
The moon was still visible, pale as milk.
  || The moon rose again, round and bright over the snow.
Icicles hung from every roof.
  || Drip, drip, went the icicles.
The air was so cold that every breath made a cloud.
  || Indoors it was warm, and the kettle sang.
The pond had frozen during the night.
  || Far away the ice on the pond creaked in the dark.
""",
}

ASIDES = """
For a moment nobody spoke.
{H} took a deep breath and counted to {many}.
{H} thought of what {G} always said: one thing after another.
{H} looked at {F}, and {F} looked at {H}.
It took longer than they had expected.
{F} scratched {fhis} head.
Somewhere a clock struck {many}.
A [bell|door] rang out in the distance, and then it was quiet again.
{H} felt {his} heart beat [faster|like a drum].
[Outside, the wind picked up.|A cloud passed over the sun.|Far away, somebody was singing.]
Everything seemed to [wait|hold its breath].
Nobody noticed the {animal} that was watching them.
<F~: I hope that this goes well.> {H} hoped so, too.
{F} did not know what to say.
A fly buzzed in a circle, once, twice, three times.
"""

THREADS = """
That day {he} had {tmany} {food} in {his} bag, and {he} ate one of them on the doorstep.
  || In the evening {he} looked into {his} bag. The other {tfewer} {food} were still there, and {he}
    shared them with {G}.
{He} had promised to find a round stone for {G}.
  || And {he} had not forgotten the round stone that {he} had promised to {G}.
That week {he} was looking for pebbles, and {he} had {tmany} of them in a jar.
  || Before bed {he} put one more pebble into the jar. Now there were {tmore}.
{He} had left half {afood} on the table for later.
  || The half {food1} was still on the table, and now {he} ate it.
{GC} was knitting {him} {acolour2} sweater that was not finished yet.
  || That night {G} finished the {colour2} sweater, and it fitted perfectly.
{He} had a cold that week and sneezed at the oddest moments.
  || {He} had not sneezed once all day. The cold was gone.
The night before, {he} had dreamed of {aanimal} that could talk.
  || That night {he} dreamed of the talking {animal} again, and it said that it was proud of {him}.
{GC} had asked {him} to bring home {tmany} eggs, and {he} had written it on {his} hand.
  || {He} remembered the number on {his} hand just in time and brought home {tmany} eggs.
{He} knew one song by heart, a song about {aanimal}, and hummed it all the time.
  || On the way home {he} hummed the song about the {animal}, and {F} hummed along.
In {his} left shoe there was a hole as big as a coin.
  || {His} left sock was wet from the hole in {his} shoe, but {he} only laughed.
Every evening {he} drew a picture of the day, and there were {tmany} on the wall already.
  || That evening {he} drew {F} and the {o}, and then there were {tmore} pictures on the wall.
{He} was learning to whistle, but so far only air came out.
  || And just before sleep, {he} tried to whistle, and this time it worked.
There was {acolour2} flower pot on {his} window sill, and nothing grew in it yet.
  || When {he} came home, a green tip stood in the {colour2} flower pot.
For supper {G} had promised {him} {food}.
  || For supper there were {food}, as {G} had promised, and {he} ate {tmany} of them.
{He} was saving for {acolour2} bicycle and had {tmany} coins in a tin.
  || That evening {G} gave {him} a coin for the tin. Now there were {tmore}.
"""

KEEPS = """
That night the {co} stood beside {his} bed.
{H} carried the {o} home and hummed.
{H} showed the {o} to {G} and told {ghim} everything.
Before {he} fell asleep, {H} touched the {co} once more.
"You and I," {H} told the {o}, "have had quite a day."
{GC} listened to the whole story while {H} turned the {co} in {his} hands.
The {co} was dusty now, but {he} did not mind.
The {co} went back to its place, and {he} looked at it for a long time.
"I am glad that I have you," {H} said to the {co}.
{H} wiped the {o} clean until it was as {colour} as on the first day.
"""

GIVES = """
The {co} stayed with {F} from that day on, and {H} [came to see it often|visited it often].
That night {H} looked at the empty place on {his} shelf and smiled.
<G: Do you miss the {o}?> "Sometimes," said {H}, "but I like where it is."
Whenever {he} saw {F} with the {co}, {he} felt warm inside.
The {co} was not {his} any more, and still it made {him} happy.
{F} took good care of the {co} and never lost it.
"""

PLAIN_RECAPS = """
For days they all talked about how #.
At night, {H} thought once more of how #.
Soon everybody had heard that #.
Years later they still told each other how #.
"""

RECAPS = (
    PLAIN_RECAPS
    + """\
That evening {he} told {G} how #.
{GC} could hardly believe that #.
When {G} asked about the day, {H} said that #.
In {his} diary {H} wrote that #.
{H} told the story to everyone {he} met: how #.
"""
)

MORAL_LEADS = """
{H} [had learned|learned] that
From then on, {he} knew that
{H} [never forgot|always remembered] that
{GC} nodded and said that
That day both of them understood that
"""

CLOSINGS = """
{H} was [glad|happy|content|pleased], and so was {F}.
{H} and {F} went home in the golden light, [happy|cheerful|proud] and tired.
And if you go to {p} today, you may still meet {H} and {F} there.
{H} slept well that night.
{GC} kissed {him} on the forehead and turned off the light.
The end of the day was the best part of it.
{F} waved from the corner until {H} was out of sight.
They talked about it for {many} weeks.
From that day on, {H} and {F} were closer than ever.
{H} went to bed [happy|smiling|in a good mood], with the window open.
<F: Tomorrow, / let us meet again.> And they did.
{GC} was waiting with warm soup, and {H} told {ghim} all about {F}.
{H} laughed, {F} laughed, and even the {animal} on the fence seemed to laugh.
Nobody in the village forgot that day.
When {H} grew up, {he} told this story to {his} own children.
{H} felt [glad|warm|light] from the top of {his} head to the tips of {his} toes.
The stars came out, {many} of them at first, and then too many to count.
{H} yawned, and {F} yawned, too. It was time for bed.
And that is the story of {H}, the {trait} one.
<G: I am proud of you.> {H} smiled.
It had been a very good day.
And {thek} with the {co} slept until the sun came up.
So ended the day for {H} and {F}.
"""

MACHINE_OPENINGS = """
Once there was {kind} named {H}, the most {trait} one for miles.
{H} was {kind}. {He} was {trait} and worked from sunrise to sunset.
Beside {p} lived {kind} called {H}, {trait} and {trait2}.
Every morning {kind} named {H} rolled out of bed, if you can call a shed a bed. {He} was {trait}.
In a town with {many} chimneys there worked {kind} by the name of {H}. {He} was {trait}.
{H} was {many} years old, which is young for {kind}. {He} was {trait}.
"""

MACHINE_BELONGINGS = """
{He} was proud of {his} {co}, which {he} polished every night.
At the front {he} wore {aco}, and everybody knew {him} by it.
On {his} first day {G} had given {him} {aco}.
Nothing made {him} happier than {his} {co}.
{He} had {aco}, the finest in the whole town.
"""

MACHINE_FRIENDS = """
{His} best friend was {F}, who was {ftrait}.
In the next shed lived {F}, {his} friend, who was {ftrait}.
{F}, who was rather {ftrait}, worked beside {him}.
With {F}, {his} friend, {he} shared the early shift.
"""

MACHINE_THREADS = """
That day {he} had {tmany} loads to carry, and the first one was already done.
  || The last of the {tmany} loads was delivered on time.
One of {his} lights had been flickering all week.
  || The mechanic came and mended the light that had flickered.
{He} had been promised a coat of {colour2} paint.
  || The next morning {he} got {his} coat of {colour2} paint.
There was a squeak somewhere under {him}.
  || A drop of oil, and the squeak was gone.
"""

MACHINE_KEEPS = """
That night {H} polished {his} {co} until it shone.
The {co} gleamed in the lamplight.
The {co} was dusty now, but {he} wore it with pride.
Everybody looked up when they saw the {co} coming.
"""

MACHINE_CLOSINGS = """
{H} rolled into {his} shed and slept.
Side by side, {H} and {F} cooled down under the stars.
<G: Well done, you two.> And {H} glowed with pride.
The lights went out, one after another, and all was quiet.
And if you go to {p} today, you can still see {H} and {F} at work.
{H} and {F} hummed a tune until they fell asleep.
"""

TOY_OPENINGS = """
When the house was asleep, {kind} named {H} opened {his} eyes. {He} was {trait}.
On the top shelf sat {kind} called {H}, {trait} and {trait2}.
{H} was {kind}. By day {he} sat still; by night {he} was {trait} and {trait2}.
Among {many} other toys there lived {kind} by the name of {H}. {He} was {trait}.
Toys come alive at midnight, as everybody knows. {H}, {kind}, was the most {trait} of them.
"""

TOY_BELONGINGS = """
{He} owned {aco}, and {he} was very proud of it.
{His} dearest thing was {aco}, which {he} had found under the rug.
Long ago somebody had given {him} {aco}.
{He} would not have parted with {his} {co} for anything.
"""

TOY_FRIENDS = """
Next to {him} sat {F}, {his} best friend, who was {ftrait}.
{His} friend {F} was {ftrait} and lived in a shoe box.
{F}, the {ftrait} one, shared the shelf with {him}.
"""

TOY_THREADS = """
One of {his} seams was coming loose.
  || In the morning the loose seam had been mended with {colour2} thread.
{He} had counted {tmany} stars through the window that night.
  || {He} looked out once more and counted the stars: {tmore} now.
Under the rug {he} had hidden {tmany} beads.
  || {He} gave one bead to {F}, and {tfewer} stayed under the rug.
The house cat was prowling outside the door.
  || Outside the door the cat was purring in its sleep.
"""

TOY_KEEPS = """
{H} put the {co} back in its place.
All day long {H} kept the {co} close.
The {co} glimmered in the first light.
"You and I," {H} told the {co}, "belong together."
"""

TOY_GIVES = """
The {co} looked well on {F}, and {H} was not sorry.
Whenever {H} saw the {co}, {he} felt warm inside, although it was {F}'s now.
"""

TOY_CLOSINGS = """
When the sun came up, {H} and {F} sat on their shelf as if nothing had happened.
Then the clock struck, and every toy sat still.
<G~: Good night, / little ones.> And it was quiet.
The child who lived there woke up and never guessed a thing.
{H} and {F} held hands in the dark until they were asleep.
"""
