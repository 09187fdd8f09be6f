"""The plots: one paragraph each. Data only; `grammar.py` reads it.

First line: name, and `keeps` if the hero still owns the treasured thing at the end, else `gives`. Every further line is a
step, its paraphrases parted by ` | `. Lines that begin with `=` are the endings. Slots in braces are filled from the
story's cast (`cast.py`), so that names, pronouns, colours, places and counts stay the same from start to end.
"""

PLOTS = """
lost and found, keeps
{day}, {H} could not find the {o}. {He} looked under the bed, behind the curtain and inside every drawer. | {day}, the {co} was gone. {H} searched the closet, the basket and even the laundry.
"Have you seen my {co}?" {he} asked {F}. "No," {said} {F}, "but I will help you look." | "Please help me," {H} said to {F}. "My {o} has vanished." {F} nodded at once.
They followed {his} footsteps back to {p}, one step after another. | Together they went back to {p}, because {H} had played there before lunch.
There, half hidden by dry leaves, something {colour} was peeping out. It was the {o}! | {F} lifted a fallen branch and laughed. Under it lay the {co}.
{H} hugged {fhim} and promised to keep {his} things in one place. | "You have sharp eyes," {H} {said}, and {he} wiped the {o} clean.
=A good friend is the best thing to have when something is lost.
=From then on, {H} always put the {o} back on its shelf.

the quarrel, keeps
{day}, {H} and {F} both wanted to play with the {co} at {p}. | At {p}, {F} grabbed the {co} while {H} was still holding it.
"It is mine!" {H} {cried}. "You never share," {F} shouted back. They pulled and pulled. | They tugged until their faces turned hot. "Let go!" {cried} {H}. "You let go!" {said} {F}.
{F} walked away without a word, and {H} sat alone with the {o}. It was no fun at all. | Then {F} went home, and the quiet felt heavy. {H} was {sad}.
After a while {he} knocked on the door of {F}. "I am sorry," {he} {said}. "You can have the first turn." | {H} picked a bunch of clover and brought it to {F}. "Forgive me. Let us take turns," {he} {said}.
{F} smiled, and soon they were counting turns: ten for one, ten for the other. | "I am sorry too," {said} {F}. They shook hands and played until sunset.
=Saying sorry is hard, but staying angry is harder.
=Taking turns made the game twice as long and twice as good.

the stuck kitten, keeps
{day}, {H} heard a tiny cry above {p}. {Aanimal} sat on a high branch, shaking. | On the way to {p}, {H} saw {aanimal} that had climbed too far up a pine.
"Do not be afraid," {he} called. The {animal} only squeaked and clung to the bark. | {He} tried to climb, but the trunk was slippery and {he} slid down again.
{H} ran to fetch {F}, who knew where the long ladder was kept. | "We need a ladder," {said} {F}, who had come running.
{F} held the ladder still while {H} climbed, one rung, two rungs, three rungs. | Step by step {H} went up while {F} held on with both hands.
At last {he} tucked the {animal} under {his} arm and carried it down. | The {animal} crept into {his} sleeve, and down they came together.
=The {animal} licked {his} nose to say thank you.
=Being careful and being brave can go together.

the fair trade, gives
{day}, {F} came to {p} with a whistle carved from willow. {H} had never heard such a sound. | {F} was showing everybody a tiny compass at {p}, and {H} could not stop staring.
"Would you trade?" {he} {asked}. "I could give you my {co}." | {H} looked at the {co} in {his} hands. "Shall we swap?" {he} {asked}.
{F} thought for a long moment and turned the {o} around. "It is a fair trade," {fhe} {said}. | "For how long?" {asked} {F}. "For good," {said} {H}, and they shook hands on it.
{H} watched {F} skip away with the {o}, and felt a little {sad}. | That evening, {his} shelf looked empty without the {o}.
But in the morning {F} waved from the gate, and they played with both treasures side by side. | The next day {F} brought the {o} along, so that they could share the old and the new.
=A trade is good when both friends smile.
=What you give away can still make you happy.

the broken promise, keeps
{H} had promised to meet {F} at {p} at noon, but {he} stayed at home to play with the {co}. | "I will be there," {H} had told {F}, but then the {co} made {him} forget the time.
{F} waited and waited at {p} until the shadows grew long. | All alone, {F} sat at {p} and counted the passing clouds.
When {H} looked at the clock, {his} stomach felt like a stone. "Oh no!" {he} {cried}. | Then {G} {asked}, "Were you not going to meet {F}?" {H} turned pale.
{He} ran all the way. "I broke my promise," {he} {said}, out of breath. "I am ashamed." | At the gate of {F} {he} said quietly, "I forgot you, and that was wrong."
{F} was hurt, yet {fhe} listened. "Come tomorrow," {fhe} {said}, "and this time be early." | "It made me lonely," {said} {F}. "Will you really come tomorrow?"
The next day {H} was the first one there, with the {o} ready for both of them. | In the morning {H} stood at {p} before the birds were awake, and they played with the {o} all day.
=A promise is small to say and big to keep.
=Since that day, {H} has never been late again.

the great storm, keeps
{day}, black clouds rolled over {p}. Thunder growled, and the windows began to rattle. | The wind howled that evening, and rain hammered on the roof.
{H} hid under a blanket with the {co} pressed to {his} chest. | "I am scared," whispered {H}, holding the {co} tight.
Then the lamp went out. In the dark, {G} lit a candle and sat down beside {him}. | The lights flickered and died. {GC} came in with a lantern.
"Count with me," {said} {G}. "When the thunder comes later, the storm is farther away." | "Every drum of thunder is only clouds bumping," {said} {G}. "Listen, and count the seconds."
They counted three, then six, then nine. {H} stopped shivering. | One, two, three, four. Each time the numbers grew, and the fear shrank.
By morning the sky was washed clean, and a rainbow stood over {p}. | When {he} woke up, puddles shone like mirrors in front of the house.
=Fear grows smaller when you share it.
=Now {H} likes to count the thunder.

the new neighbour, keeps
{day}, a moving truck stopped next door, and out stepped {F}, who knew nobody. | A new family had come to the street. Their child, {F}, stood shyly by the fence.
{H} peeked through the hedge. "Should I say hello?" {he} wondered. | {H} wanted to wave but felt timid.
{He} took a deep breath, picked up the {co} and crossed the lawn. | At last {he} walked over with the {co} under {his} arm.
"Hello, I am {H}. Do you want to play?" {he} {asked}. {F} looked up, surprised. | "This is my {o}," {he} {said}. "We could play with it together."
{F} told {him} about the faraway town with the harbour and the yellow trams. | "Where I come from," {said} {F}, "the snow reaches up to the windows."
Then {H} showed {fhim} {p}, the best hiding spot and the bakery. | That afternoon {H} showed {fhim} the way to {p}.
=One hello can be the start of a long friendship.
=By supper the new neighbour was a stranger no more.

learning to ride, keeps
{day}, {H} decided to learn to ride the old bicycle from the shed. | {G} pumped up the tires of a small bicycle. "It is yours if you can ride it," {ghe} {said}.
The first time {he} wobbled and fell into a bush. The second time {he} hit a fence. | {He} pushed off, swayed left, swayed right and landed in the mud.
"I will never learn," {H} {said}, rubbing {his} knee. | Tears came. "It is too hard!" {he} {cried}.
"Look ahead and not at your feet," {said} {F}, who was watching from the steps. | {F} called, "Everybody falls at first. Try once more, and look far away."
So {H} looked toward {p}, pushed the pedals and did not look down. | {H} tied the {co} to the handlebar for luck, fixed {his} eyes on the road and rolled.
The wheels hummed, the wind blew, and {he} was riding! | Ten turns of the pedals, then twenty. {He} was really riding!
=Falling down is a part of learning.
=Those who try once more are the ones who learn.

the surprise party, keeps
{day} was the birthday of {F}, but nobody said a word about it. {F} felt {sad}. | {F} woke up early on {fhis} birthday, yet the house was silent.
In secret, {H} was hanging paper lanterns at {p}. | Meanwhile {H} and {G} baked a tall cake with {food} on top.
{H} stuck candles in the cake: exactly {many}, one for every year. | "How many candles?" {asked} {G}. "{Many}," {said} {H}, "one for every year."
"{F}, could you help me carry something to {p}?" {H} {asked} with a straight face. | {H} told {fhim} that the {co} was lost at {p}, and {F} came along to search.
"Surprise!" everyone shouted. {F} gasped and covered {fhis} mouth. | Out jumped all the neighbours. "Happy birthday!" they sang.
{F} blew out all {many} candles with one breath. | With one big puff, the {many} little flames were gone.
=Sometimes silence hides something sweet.
=The best gift is to be remembered.

sharing by count, keeps
{H} carried {many} {food} to {p} in a paper bag. | {G} gave {H} {many} {food} for the picnic at {p}.
{He} ate one, and then there were {fewer} left. | One of the {food} was too lovely to wait for. {H} ate it, and {fewer} were left.
Along came {F}, whose lunch had fallen into the river. | {F} sat down beside {him}. "I have nothing to eat today," {fhe} {said}.
{H} counted the {food} again: {fewer}. "You can have one of them," {he} {said}. | "Here, take one," {said} {H}, and {he} held out the bag with the {fewer} {food}.
Then {fewest} remained in the bag, and nobody was hungry. | Now the bag held {fewest}, and two friends were chewing happily.
To say thanks, {F} let {him} fly {fhis} glider, and {H} let {fhim} try the {co}. | After the meal they played with the {co} until the bell rang.
=Half a lunch with a friend tastes better than a whole one alone.
=Counting is useful, but giving is better.

the little lie, keeps
{day}, {H} knocked over the vase of {G} while playing with the {co}. It broke into {many} pieces. | Crash! The {co} hit the tall vase, and {many} pieces lay on the carpet.
"Who did this?" {asked} {G}. "The {animal} did it," {said} {H} quickly. | When {G} came in, {H} pointed at the {animal}. "It was not me," {he} {said}.
The poor {animal} was sent outside into the cold, looking confused. | So the {animal} got no supper, and it whined behind the door.
{H} could not sleep. The lie sat on {his} chest like a brick. | In bed {he} turned left and right. {He} felt {sad}.
At last {he} tiptoed to {G}. "I told a lie. It was me," {he} {said}. | Before breakfast {he} went to {G} and told the truth from the beginning.
"Thank you for being honest," {said} {G}. They glued the {many} pieces, and the {animal} got a double supper. | {GC} was stern, then gentle. Together they let the {animal} in and swept up the {many} pieces.
=The truth can be heavy, but a lie weighs more.
=An honest word makes the heart light.

the seesaw, keeps
At {p} there was a long seesaw. {H} sat down on one end and nothing happened. | {day}, {H} found the seesaw at {p} empty, but alone {he} could only sit on the ground.
{He} put the {co} on the other end. It was far too light. | The {co} was not heavy enough to lift {him}.
{He} tried a bucket of sand, then a big rock, but the rock only pinned the board down. | A pile of stones was too heavy, and {H} hung in the air, kicking.
Just then {F} walked by. "You need somebody your own size," {fhe} {said}. | "May I?" {asked} {F}, and hopped on.
Up went {H}, down went {F}; then down went {H} and up went {F}. | The board swung like a clock, and both of them laughed.
=Some games need two.
=What one cannot do alone, two can do with ease.

the snail race, keeps
{day}, {F} invited everybody to a snail race at {p}. | At {p}, {H} and {F} each picked a snail for a race.
{H} called {his} snail Lightning and painted a {colour} dot on its shell. | The snail of {H} had a {colour} dot, and {he} named it Rocket.
"Ready, steady, go!" {cried} {F}. Nothing moved. | A leaf fell to start the race. Both snails went to sleep.
After a long time, one shell wobbled forward by an inch. {H} held {his} breath. | They waited so long that {H} fetched the {co} to pass the time.
In the end the snail with the {colour} dot crossed the line, and it turned around to eat the prize, a lettuce leaf. | Slowly, the {colour} dot crept over the line. "What a champion!" {cried} {H}.
=Slow feet arrive too.
=Patience is a kind of speed.

the garden, keeps
{day}, {G} gave {H} a packet with {many} seeds. "Be patient with them," {ghe} {said}. | {H} found {many} striped seeds in an old jar.
{He} dug little holes at {p} and dropped one seed into each. | With a small spade {he} planted all {many} of them in a row near {p}.
For a whole week there was only brown soil. "They are asleep," {said} {F}. | Day after day {H} looked, and day after day there was nothing. {He} was {sad}.
Still, {he} watered them every morning and pulled the weeds. | "Water and wait," {said} {G}, and so {he} did.
One dawn a green tip broke through, then another, until all {many} stood tall. | Then it rained one warm night, and {many} sprouts lifted their heads.
By the end of summer, sunflowers nodded over the fence, taller than {H}. | In autumn {he} picked golden flowers for {G} and for {F}.
=Good things grow while you wait.
=A gardener must trust what cannot be seen.

the lost tooth, keeps
{day}, {H} bit into one of the {food} and felt something odd. {His} tooth was loose! | While eating {food}, {H} felt a wiggle. A tooth was about to fall out.
"Does it hurt?" {asked} {F}. "Only a little," {said} {H}, pushing it with {his} tongue. | {F} wanted to see. "It dances!" {fhe} {said}.
At {p} {he} sneezed, and out flew the tooth into the grass. | Then {he} jumped down the steps at {p}, and the tooth popped out and rolled away.
They crawled on hands and knees until {F} held up something small and white. | "Nobody move!" {cried} {H}. They searched every blade of grass until it was found.
{H} wrapped it in a tissue and put it under {his} pillow, next to the {co}. | That night the tooth lay in a matchbox beside the {co}.
=In the morning, there was a shiny coin in its place.
=Growing up comes in small pieces.

the night light, keeps
When the lamp was off, {H} saw a monster in the corner of the room. | {H} was afraid of the shape behind the wardrobe.
"Go away," {he} whispered. It did not move. {He} hugged the {co}. | The shape had long arms and a crooked hat. {H} pulled the {co} closer.
{GC} came in. "Shall we greet it together?" {ghe} {asked}. | "Let us see who it is," {said} {G}, and took {his} hand.
They switched on a torch. The monster was only a coat on a hook! | The beam of light fell upon a coat, a scarf and an umbrella.
{H} laughed so loudly that {F} heard it through the open window. | "Good evening, Mister Coat," {said} {H}, and bowed.
=Most monsters are made of shadows.
=The next day {he} told {F} about the coat, and they both giggled.

the stray, keeps
{day}, {aanimal} with muddy paws followed {H} home from {p}. | Behind the bins near {p}, {H} found {aanimal}, thin and wet.
"May I keep it?" {he} {asked}. "It may belong to somebody," {said} {G}. | {H} dried it with a towel. "It has no collar," {he} said to {G}.
They drew posters and pinned them on every lamp post. {F} helped. | {F} and {H} knocked on {many} doors, but no one had lost {aanimal}.
A week passed, and nobody came. The {animal} slept beside the {co} each night. | Every night the {animal} curled up on the rug, guarding the {co}.
"Then it has chosen you," {said} {G} at last. {H} danced around the kitchen. | On Sunday {G} smiled and brought a bowl with a name on it. {H} was {glad}.
=A home is wherever somebody waits for you.
=To care for an animal is a promise for every day.

the running race, keeps
{day}, there was a race from {p} to the old bridge. {H} was fast and very sure of winning. | Everyone gathered at {p} for the yearly race. {H} had trained for weeks.
{F} lined up beside {him}, nervous and quiet. "Good luck," {fhe} {said}. | "I only hope to finish," {said} {F}, tying {fhis} laces.
The whistle blew. {H} shot ahead like an arrow. | Off they went, shoes slapping the ground, with {H} in the lead.
Halfway, {F} stumbled over a root and fell. {H} heard the cry and looked back. | Suddenly there was a thud. {F} lay on the path, holding {fhis} ankle.
{H} could win, or {he} could stop. {He} stopped. "Lean on me," {he} {said}. | The finish was near, but {H} turned around and ran back to {fhim}.
They limped over the line together, last of all, and the crowd cheered the loudest for them. | Arm in arm they came in last, and everybody clapped.
=There are things better than winning.
=A medal rusts, but kindness does not.

the hidden present, keeps
{day}, {H} found a note in {his} boot: "Look where bread is born." | A mysterious letter lay on the mat. "Follow the clues," it said.
{He} ran to the oven. There was a second note: "Look where books sleep." | "Bread is born in the oven!" {he} {said}. Behind it was another clue, about a shelf.
Behind the dictionary {he} found a third: "Ask the one who loves {food}." | On the shelf, the next paper told {him} to visit someone who loves {food}.
"That must be {F}!" {he} {cried}, and raced over. {F} grinned and held out a key. | {F} was already at the door. "It took you long enough," {fhe} {said}, and gave {him} a key.
The key opened the shed near {p}, and inside stood a {colour} wagon, just right for the {o}. | In the shed at {p} was a {colour} box, made by {G} to hold the {o}.
=Looking for it was half of the gift.
=Every clue had been written with love.

the bakery helper, keeps
{day}, the baker was ill, and the shop smelled of nothing. | Old Mister Bruno, the baker, had hurt his arm.
"We could help," {said} {H}. {F} tied on an apron that was far too large. | {H} and {F} offered to help, and they scrubbed their hands.
They measured flour, cracked eggs and stirred until their arms ached. | {H} kneaded the dough while {F} sprinkled sugar.
The first tray burned black. "Oh dear," {said} {F}. | They forgot the salt in the first batch, and it tasted awful.
The second tray was golden, and people queued all the way to {p}. | But the next {food} came out perfect, and the smell drifted as far as {p}.
{Many} customers came, and {he} gave the coins to the baker. | By noon they had sold everything but one roll, which they shared.
=Helping hands can even bake bread.
=The baker gave each of them a warm bun every Friday after that.

the message in a bottle, keeps
{day}, the waves brought a green bottle to {p}. There was paper inside. | Something glittered at the edge of {p}: a bottle with a cork.
{H} and {F} pulled the cork with a loud pop. | "Open it!" {cried} {F}. It took both of them to pull the cork.
"Who reads this is my friend," said the letter. It was signed by a girl on an island. | Inside was a drawing of an island, and a greeting in wobbly letters.
{H} wrote an answer and drew the {co} on it, so that she would know what {he} loved most. | They wrote back at once. {H} drew the {co}, and {F} drew {animals}.
They sealed the bottle with wax and threw it far out. | The tide carried their answer away, bobbing and blinking.
=Somewhere, someone is waiting for a letter.
=Kind words can travel across an ocean.

the snow fort, keeps
Snow fell all night, and in the morning {p} was white and silent. | {day}, everything was covered in snow, even {p}.
{H} and {F} rolled {many} big snowballs and piled them up into a wall. | They built a fort from {many} heavy blocks of snow.
"Let us put the {co} on top like a flag," {said} {H}. | {H} set the {co} on the highest wall so that everyone could see it.
Then the sun came out. Drip, drip, drip went the fort. | At noon, the walls began to sag and shine.
"It is melting!" {cried} {F}. {H} was {sad} for a moment. | {F} tried to patch it, but the water ran through {fhis} mittens.
"Then we will make a river," {said} {H}, and they sailed paper boats in the meltwater. | {H} rescued the {o} and laughed. They splashed in the puddle that had been a castle.
=Some things are beautiful because they do not last.
=Next winter they would build it again.

the magic hat, keeps
{day}, a travelling magician came to {p} and asked for a helper. | A magician in a starry cape set up his table at {p}.
{H} raised {his} hand and climbed onto the stage, blushing. | "You there, with the {co}!" he called. {H} stepped forward.
The magician put the {o} in a hat, tapped it twice, and it was gone. | He covered the {o} with a silk scarf. One, two, three, and it had vanished!
{H} gasped. "Please give it back," {he} {said}. | The crowd was amazed, but {H} was worried about {his} {o}.
"Look behind the ear of your friend," said the magician, and {F} pulled out the {co}. | "It is in your friend's bag," he said. And there it was: {F} held up the {co}.
=The trick stayed a secret, no matter how often they asked.
=For weeks, {H} and {F} practised with a spoon and a napkin.

the broken toy, keeps
{day}, the {co} slipped from {his} hands and cracked. | Snap! A piece broke off the {co}.
{H} tried to hold the parts together, but they fell apart again. | {He} stared at the two halves and felt {sad}.
"Throw it away," said a boy at {p}. "Never," {said} {H}. | "You could buy another one," {said} {F}. "It would not be the same," {said} {H}.
{GC} took out glue, string and a tiny screwdriver. "Watch closely," {ghe} {said}. | In the workshop, {G} showed {him} how to sand, glue and wait.
It took the whole afternoon, and {H} had to hold very still. | They worked until supper, and not a drop of glue was wasted.
The {o} had a thin scar now, but it was stronger than before. | At last the {co} was whole, with one fine line where it had cracked.
=Mended things have stories.
=To repair is better than to replace.

the shy singer, keeps
{H} loved to sing, but only when nobody was listening. | In the bath, {H} sang like a lark; in class, {he} was silent.
{day}, {F} heard {him} through the window. "That was wonderful!" {fhe} {said}. | {F} stood at the fence and clapped. {H} turned red.
"There is a concert at {p}. You must sing," {said} {F}. | "Sing with us at {p}," {F} begged.
"My voice will hide," {said} {H}. "Then hold the {co} and sing to it alone," {said} {F}. | {H} shook {his} head. "What if I forget the words?"
On the evening {he} held the {o}, closed {his} eyes and began. The first note trembled. | {His} knees shook. {He} looked at the {co}, then at {F}, and sang.
By the second verse {his} voice was clear as a bell, and the people hummed along. | When the song ended, there was silence, and then the applause came like rain.
=Courage can begin with one trembling note.
=Since then, {H} sings with open eyes.

the wrong bag, keeps
{day}, on the train to {p}, {H} picked up the wrong bag. | At the station near {p}, two bags looked exactly alike.
At home {he} opened it and found {many} {food} and a stranger's slippers. | Instead of the {co}, there were {many} {food} and a thick book inside.
"My {o} is with somebody else!" {he} {cried}. | {H} was {sad}, because the {co} was in the other bag.
{GC} read the label. It belonged to {F}, who lived near the mill. | On the tag was a name: {F}.
They met halfway, each holding the other's bag, and burst out laughing. | {F} opened the door with the {co} in {fhis} hand. "I was looking for you!" {fhe} {said}.
All {many} {food} were still there, and they ate them together. | Not one of the {food} was missing, and {F} shared them.
=A mistake can introduce you to a friend.
=Now {H} ties a {colour} ribbon to {his} bag.

the fishing trip, keeps
Before sunrise, {H} and {G} walked to the lake with two rods. | {day}, {G} took {H} fishing.
"Fish do not like noise," {said} {G}. {H} sat as still as a stone. | {H} threw out the line and waited, and waited some more.
The float dipped. {He} pulled and pulled, and up came an old boot. | Something heavy bent the rod. It was a rusty kettle!
They laughed so much that the boat rocked and the {co} nearly fell in. | {H} laughed until {he} nearly dropped the {co} overboard.
At noon {he} felt a real tug. A silver fish flashed in the sun. | Then a fish leapt, bright as a coin.
"It is too small," {said} {H}. "Let it grow," and {he} let it swim away. | {He} looked into its round eye and gently set it free.
=They came home with an empty bucket and a full heart.
=When {F} asked how many fish there were, {H} {said}, "One, and it is still out there."

the library card, keeps
{day}, {H} got {his} very first library card. | {G} took {H} to the library, where the shelves touched the ceiling.
{He} chose a book about {animals} and carried it everywhere. | {H} borrowed a thick book about {animals}.
At {p} it fell into a puddle, and the pages swelled like bread. | But rain surprised {him} at {p}, and the cover went soft.
"They will never lend me a book again," {he} said to {F}. | {H} hid the book behind the {co} for two days and felt {sad}.
{F} went with {him} to the desk. "I spoiled it," {H} told the librarian. "May I work for it?" | "Tell the truth," {said} {F}, "I will come along." So {H} did.
So {he} sorted books for three afternoons, and the librarian stamped the card again. | The librarian let {him} dust the lower shelves until it was paid for.
=Owning up opens doors.
=And {he} read {many} more books that summer, all of them dry.

the kind giant, keeps
People said that a giant lived in the grey house behind {p}. | Everyone was afraid of the very tall man who lived near {p}.
{day}, the {co} flew over his wall. "Oh no," {said} {F}. | {day}, the {co} landed in his garden.
"I must fetch it," {said} {H}, though {his} legs were like jelly. | {H} swallowed hard and rang the bell.
The door creaked. A huge man bent down. "Is this yours?" he asked in a soft voice, holding the {o}. | He was tall indeed, but he wore slippers and carried the {o} with great care.
He had roses, a piano and {many} singing canaries, and no visitors at all. | In his kitchen he served them {food} on tiny plates.
{H} and {F} came back every Saturday. | From then on they waved to him whenever they passed.
=Rumours are often smaller than the truth is kind.
=The tallest man in town had been the loneliest one.

the missing sheep, keeps
On the farm, {H} counted the sheep: there should have been {many}, but there were only {fewer}. | {day}, {H} was allowed to count the flock. {Fewer}! One was missing, because there had been {many}.
"I will find it," {he} told {G}, and took the {co} along. | With the {co} in {his} pocket {he} set out across the hills.
{He} asked the miller, the shepherd and the girl with the geese. Nobody had seen it. | {F} joined {him}, and they called until they were hoarse.
Near {p} they heard a thin bleat from a thorn bush. | Behind {p}, white wool shone between the brambles.
Carefully {H} bent the thorns aside while {F} pulled. | {F} held the branches and {H} freed the frightened lamb.
Back at the barn {he} counted again: {many}. | That evening all {many} of them were in the fold.
=Every single one counts.
=A shepherd does not sleep until the number is right.

the treehouse, keeps
{day}, {H} and {F} drew a plan for a treehouse. | In the big oak near {p}, {H} and {F} wanted to build a house.
They collected planks, ropes and {many} rusty nails. | {G} gave them boards, a saw and {many} nails.
{H} wanted a tower; {F} wanted a balcony. They argued until dusk. | "A window here!" {said} {F}. "No, a door!" {said} {H}.
In the end they built a tower with a balcony, and both were content. | "Why not both?" {asked} {G}, and so it had a window and a door.
They pulled up the {co} in a basket, and it got the best corner. | The {co} was hoisted up first, for luck.
Up there, they could see as far as {p}, and no one could see them. | When the wind blew, the house creaked like a ship.
=Two ideas are better than one.
=It was crooked, and it was theirs.

the borrowed thing, keeps
{F} asked to borrow the {co} for one day. {H} was not sure. | "May I borrow your {o}?" {asked} {F}. "Only until tomorrow."
"You will be careful?" {H} {asked}. "Very careful," {said} {F}. | {H} hesitated, then placed the {co} into {fhis} hands.
That night {he} missed it and lay awake. | The evening was long without the {o}.
The next day {F} did not come. Nor the day after. {H} was {sad}. | Two days went by without a word from {F}.
{H} walked to {fhis} house. {F} was ill in bed, with the {co} safe on the table. | At last {G} heard that {F} had a fever. {H} hurried there at once.
"I could not bring it," {said} {F} weakly. {H} sat down and read to {fhim}. | {H} felt foolish for being cross and brought {fhim} {food}.
=Think kindly before you think badly.
=When {F} was well, they played with the {o} together.

the echo, keeps
{day}, {H} shouted "Hello!" at {p}, and a voice shouted "Hello!" back. | High above {p}, {H} called out, and somebody answered.
"Who are you?" {he} called. "Are you?" came the reply. | "Stop copying me!" {he} {cried}. "Copying me!" said the voice.
{H} grew angry. "You are silly!" {he} yelled, and the voice yelled the same. | {He} called it a rude name, and the rude name came back.
{F} came up the path. "Try saying something nice," {fhe} {said}. | "It is only an echo," {said} {F}. "It gives back what it gets."
"You are my friend!" called {H}. "My friend!" sang the mountain. | So {H} held up the {co} and called, "Come and play!" And the hills sang, "Play!"
=The world often answers in the tone you use.
=They said good night to the echo, and it said good night to them.

the wishing well, gives
{day}, {H} stood at the wishing well beside {p} with one coin. | Near {p} was an old well that granted wishes, or so people said.
{He} wanted a pony, a drum and a boat, and could not decide. | "What will you wish for?" {asked} {F}. {H} had a very long list.
Then {he} saw {F}, who had lost {fhis} favourite toy and looked {sad}. | But {F} was {sad}, because {fhis} only toy had been stolen.
{H} dropped the coin. "I wish that {F} had a toy again," {he} whispered. | The coin fell with a plop. {H} had wished for something for {F}.
Nothing happened. So {he} made it come true {self}: {he} gave {fhim} the {co}. | Wishes are slow, {he} thought, and put the {co} into {fhis} arms.
{F} beamed like the morning, and {H} needed no pony after all. | "For me?" {said} {F}. The {o} had never looked so good.
=You can be the one who grants a wish.
=Giving was the wish that came true.

the talent show, keeps
There would be a talent show at {p}, and {H} had no talent, or so {he} thought. | {day}, a poster appeared: talent show at {p}!
{F} could juggle. Another child could whistle through a straw. | {F} practised handstands all day long.
{H} tried to juggle and broke a plate; {he} tried to dance and got dizzy. | {H} tried the trumpet, and the {animals} fled.
On the evening, the curtain got stuck, the lights failed and {F} was nearly in tears. | But on the night everything went wrong, and nobody knew what to do.
{H} calmed everybody, fixed the curtain with the string of the {co} and held the lamp. | {H} ran here and there, mended, carried, cheered and found a lamp.
The prize for the best helper went to {him}. | In the end they called {his} name and clapped for the one who had saved the show.
=Caring for others is a talent too.
=Not every star stands on the stage.

the long night walk, keeps
{day}, {H} and {F} stayed too long at {p}, and it grew dark. | The sun had set, and the way home from {p} looked strange.
"Which path is ours?" {asked} {F}. An owl hooted. | The trees seemed taller than by day. {F} held {his} sleeve.
{H} remembered what {G} had taught {him}: find the brightest star. | "The star over the chimney points home," {said} {H}.
They walked with the {co} between them, singing so that the dark would not feel so big. | They marched and sang every song they knew, and {H} swung the {co} like a lantern.
At last a light moved on the road. It was {G} with a lamp. | Then a door opened and yellow light fell onto the path. {GC} was waiting.
=Stars are good friends to those who know them.
=They never stayed out so late again.

the picky eater, keeps
{H} ate only noodles. No {food}, no peas, no soup. | "I do not like {food}," {said} {H}, who had never tasted any.
{day}, {F} came to dinner and asked for {food}, please. | {day}, {G} put one of the {food} on {his} plate.
"How can you eat that?" {asked} {H}. "With my mouth," {said} {F}. | {F} chewed with closed eyes. "Mmm," {fhe} {said}.
{H} pinched {his} nose and took the smallest bite in the world. | {He} shut {his} eyes, held the {co} for courage and licked a corner.
It was sweet. It was crunchy. It was not bad at all! | {His} eyebrows went up. "More, please," {he} {said}.
{G} nearly dropped the spoon. | {GC} smiled into the soup pot.
=You cannot know before you taste.
=Now {H} likes noodles and {food}.

the rain dance, keeps
It had not rained for {many} weeks, and the grass at {p} was yellow. | For {many} weeks the sun had burned on {p}.
The {animals} panted in the shade, and the stream was only a thread. | Even the {animals} looked for shade, and flowers hung their heads.
"We must save water," {said} {H}, and carried the bath water to the plants. | {H} and {F} brought cups of water to the youngest trees.
{F} danced in a circle and drummed on a pot to call the rain. | "Let us dance for rain," {said} {F}, and they stamped and drummed.
Boom, went the sky. One drop fell on the {co}, then {many}, then too many to count. | A cloud came, small as a hat, then large as a house, and it rained on the {co} and on everybody.
=Whether it was the dance or the season, they danced again.
=Every drop is precious to those who are thirsty.

the map, keeps
{day}, {H} found a folded map in an old coat. A red cross marked a spot near {p}. | In the attic, {H} discovered a yellow map with a cross on it.
"Treasure!" {cried} {F}. They packed a rope, {food} and the {co}. | {H} and {F} took a shovel, {food} and the {co}.
They counted {many} steps from the gate, turned at the split rock and crossed a stream. | The map said: {many} steps north, then past the rock shaped like a nose.
They dug until the shovel hit something hard. Clang! | Under roots and pebbles there was a tin box.
Inside lay marbles, a feather and a note: "I hid this when I was a child." It was signed by {G}. | In it was a photograph of a child with the same eyes as {H}. It was {G}, long ago!
=The treasure was a story that nobody had told before.
=They put in a secret of their own and buried it again.

the bully, keeps
A big boy at {p} liked to take things from smaller children. | At {p}, somebody always pushed the little ones aside.
{day}, he snatched the {co} from {H}. "It is mine now," he sneered. | {day}, he grabbed the {co} and held it high above his head.
{H} wanted to cry, but {F} stood next to {him}. "Give it back," {said} {F} firmly. | "That is not right," {said} {F}, and stepped forward. Then others came too.
One child after another stood beside them, until there were {many}. | Soon {many} children stood in a line, quiet and serious.
The boy looked at his shoes. "Nobody ever plays with me," he muttered. | He lowered his arm. "I only wanted to play," he said in a small voice.
"You could just ask," {said} {H}. And after a silence, he did. | {H} took back the {o}. "Ask us, and you can play," {he} {said}.
=Standing together makes the small ones tall.
=It takes courage to be firm, and more courage to be kind.

the bridge, keeps
{day}, the flood swept away the little bridge to {p}. | After the rain, the plank across the stream was gone.
On the other bank stood {F}, waving. They could not reach each other. | {F} lived on the far side, and {H} on the near one.
{H} threw a rope, but it was too short. | They shouted, but the water was louder.
"Let us each build a half," {F} called through {fhis} hands. | {H} pointed at the stones, and {F} understood.
From one side {H} laid stones, from the other side {F} laid logs, until they met. | Stone by stone they built, each from one bank, until only one step was missing.
{H} tossed the {co} across, took a leap, and they stood together. | In the middle they shook hands, and {H} carried the {co} over.
=A bridge begins on both sides.
=Friends find a way across.

the lemonade stand, keeps
{day}, it was so hot that {H} had an idea. "Lemonade!" {he} {cried}. | {H} and {F} set up a lemonade stand at {p}.
{F} squeezed lemons, {H} painted a {colour} sign, and they waited. | They mixed water, honey and lemons, and {H} hung up a {colour} sign.
Nobody came. {F} tasted it and made a face: they had forgotten the sugar. | The first customer coughed. They had used salt!
They began again, stirring and tasting, until it was just right. | "Once more," {said} {H}, and they poured it away and started over.
Soon they had earned {many} coins. | By evening there were {many} coins in the jar.
They spent the {many} coins on seeds for the birds, and the {co} watched over the empty jar. | With the {many} coins they bought {food} for all who had helped.
=Taste before you sell.
=Work is sweet when it is shared.

the sleepy bear, keeps
In a tale that {G} told, a bear could not fall asleep for the winter. | "Tell me about the bear," {said} {H} at bedtime, holding the {co}. So {G} began.
The bear tried a bed of moss, then a bed of leaves, but the wind tickled his ears. | First his cave was too bright; then it was too quiet.
He asked the owl, the hedgehog and the {animal} for advice. | The {animal} told him to count snowflakes, and he counted to {many}.
"You have not said good night to anyone," said the owl. | "Who tucked you in?" asked a mouse. "Nobody," said the bear.
So all the animals sang to him, and he snored before the second verse. | The mouse pulled a leaf up to his chin, and that was all he needed.
When {G} looked up, {H} was asleep too, one hand on the {o}. | {H} heard only half of the ending, because {his} eyes had closed.
=Nobody is too big for a good night wish.
=The next day {he} told the whole tale to {F} at {p}.

the clock maker, keeps
{day}, the tower clock at {p} stopped, and nobody knew when to eat. | The town clock stood still at nine, and everything fell into confusion.
The clock maker was old, and her fingers shook. "I need small hands," she said. | "The gears are too tiny for me," sighed the old clock maker.
{H} climbed up the {many} stairs with a lantern. | Up and up went {H}, all {many} steps of the tower.
Between two wheels {he} found a nest with {aanimal} in it. | There, in the greatest wheel, slept {aanimal}.
{He} lined {his} cap with straw and moved it gently to the window sill. | "You picked a noisy bed," {he} {said}, and carried it to a safe ledge.
Tick, said the clock. Tock, it said, and {F} cheered far below. | The wheels turned, the bell rang, and {F} threw {fhis} hat into the air.
=Small hands can move big things.
=As a reward, the clock maker oiled the {co} so that it shone.

the painted fence, keeps
{G} asked {H} to paint the long fence near {p}. It seemed endless. | {day}, {H} had to paint a fence instead of playing with the {co}.
{He} dipped the brush into {colour} paint and sighed. | The paint was {colour}, the sun was hot, and {H} was {sad}.
{F} came by. "Is it fun?" {fhe} {asked}. | "What are you doing?" {asked} {F} from the road.
{H} looked at the brush. "It is like making a picture that nobody has made before," {he} {said}. | {H} had an idea and painted a {animal} on the first board. "I am making a zoo," {he} {said}.
So {F} took another brush, and between them {many} animals appeared on the boards. | Soon they were painting whales and peacocks, {many} in all.
{GC} came home and stared. Then {ghe} laughed until {ghe} had to sit down. | People stopped to admire it, and {G} was proud.
=A chore can turn into a game.
=It became the best fence in town.

the ferry, keeps
{day}, {H} took the ferry for the first time. | {H} and {G} boarded the white ferry to {p}.
The deck swayed, and {his} stomach swayed with it. | "My legs are drunk," {said} {H}, and the sailors chuckled.
A wave splashed over the rail and carried the {co} toward the edge. | The ship rolled, and the {co} slid across the planks.
"Catch it!" {H} {cried}. A girl with braids dived and caught it. | {F}, who sat by the anchor, stopped it with {fhis} foot.
"I have crossed {many} times," {said} {F}. "Look at the horizon, and you will not be dizzy." | "You are new here," {said} {F}. "Watch the line where the sky ends."
{H} looked at the line between sea and sky, and the world stood still. | It worked. {H} even ate one of the {food}.
=A steady eye makes a steady heart.
=On the way back {he} told a small boy about the horizon.

the concert of pots, keeps
It rained for {many} days, and {H} was bored. | {day}, it poured, and no one could go to {p}.
{He} tapped on a pot. Ping! On a pan. Pong! | A spoon fell on a lid and made a lovely clang.
{F} joined in with a comb and paper, buzzing like bees. | "Do that again," {said} {F}, and picked up two ladles.
They tied the {co} to a string and used it as a drumstick. | Even the {co} got a part: it went bump on the box.
"What is that terrible noise?" {asked} {G}. Then {ghe} took a whisk and played along. | {GC} came in with {ghis} hands on {ghis} ears, listened, and started to dance.
=Boredom is only an idea that has not arrived.
=When the sun returned, they hardly noticed.

the ant parade, keeps
{day}, {H} lay in the grass at {p} and watched the ants. | At {p}, a line of ants crossed the path.
They carried crumbs larger than themselves. "How strong they are," {he} {said}. | One ant dragged a petal like a flag.
{F} wanted to step over, but {he} {cried}, "Stop! You will crush the road!" | {F} nearly stepped on them. "Careful!" {said} {H}.
They laid a twig across a puddle, and the ants used it as a bridge. | {H} put down one of the {food}, and within minutes {many} ants were pulling at it.
"If I were small," {said} {F}, "I would want someone big to be gentle." | They used the {co} to shade the tiny workers from the sun.
=The smallest neighbours deserve care too.
=After that, {H} looked at the ground before every step.

the costume, keeps
There was a parade at {p}, and {H} wanted to be a dragon. | {day}, everybody was making costumes for the parade.
{He} cut scales from {colour} paper and glued them onto an old sack. | {H} sewed a {colour} tail, though the stitches were crooked.
{F} was going as a knight. "We must fight, then," {fhe} {said}. | {F} came as a knight with a wooden sword.
But in the middle of the parade the tail tore off. Everyone laughed, and {H} was {sad}. | A gust of wind stole the dragon's wing, and {H} stood there {sad}.
{F} knelt and tied the tail on with {fhis} own belt. "I am a knight who helps dragons," {fhe} {said}. | The knight picked up the pieces. "Dragons are under my protection," {said} {F}.
They marched on, side by side, with the {co} as their royal treasure. | Together they guarded the {co} to the very end, and won second prize.
=Not every knight has to fight.
=A torn tail makes a better story than a whole one.

the apology cake, keeps
{H} had laughed when {F} tripped at {p}, and now {F} would not speak to {him}. | Yesterday {H} had teased {F}, and today {F} crossed the street.
"Words may not be enough," {said} {G}. "What does your friend like?" | {H} asked {G} what to do. "Begin with sorry," {ghe} {said}, "and then do something."
{H} remembered that {F} loved {food}. {He} baked a cake with {many} of them on top. | So {he} made a cake and decorated it with {many} {food}.
The cake sank in the middle, like a hat that somebody had sat on. | It came out crooked and a little burnt.
{He} carried it to {fhis} door. "It looks awful, and I am sorry," {he} {said}. | "I should not have laughed," {H} {said}. "You may laugh at my cake."
{F} looked at the cake, then at {H}, and the corners of {fhis} mouth twitched. | {F} bit {fhis} lip, then giggled, then laughed out loud.
=They ate all of it, even the burnt part.
=Laughing with someone is better than laughing at them.

the moon in the pond, keeps
{day}, in the evening, {H} saw the moon lying in the pond at {p}. | The moon had fallen into the water! {H} saw it with {his} own eyes.
"We have to save it," {he} told {F}, who brought a net. | "It will drown!" {he} {cried}. {F} fetched a bucket.
They scooped, and the moon broke into {many} pieces. | Every time they dipped the net, the moon shivered and fell apart.
{H} was {sad}. "Now we have ruined it," {he} {said}. | "We broke it," {said} {F} in a tiny voice.
Then {G} pointed upward. There it was, round and whole. | "Look up," {said} {G}. And the moon smiled down at them.
They sat with the {co} between them and watched both moons. | {H} held up the {co}, and its shadow danced on the silver water.
=Look twice before you worry.
=Some things can be admired but never caught.

the spelling bee, keeps
{H} had learned {many} hard words for the spelling bee. | {day}, the school held a spelling bee, and {H} was nervous.
One by one the others sat down, until only {H} and {F} were left. | In the last round only {F} and {H} stood on the stage.
"Spell {animal}," said the judge. {H} knew it well. | The word was a long one, with three hidden letters.
{He} spelled it, but {he} heard {self} say one letter twice. The judge had not noticed. | The judge nodded, but {H} knew that {he} had made a mistake.
"Excuse me," {he} {said}, "that was wrong." A murmur went through the hall. | {H} raised {his} hand. "I must be honest. It was not right."
{F} won the cup and let {him} hold it first. | So the cup went to {F}, who bowed to {H}.
=Some victories are not written on a cup.
=At home {G} gave {him} a hug, and the {co} a new place of honour.

the windmill, keeps
On a hill above {p} stood a windmill that had not turned for {many} years. | {day}, {H} and {F} explored the old windmill.
Inside, cobwebs hung like curtains, and {aanimal} looked down from a beam. | The floor creaked, and {aanimal} scurried behind a sack.
"It only needs new sails," {said} {H}. | "Could it still work?" {asked} {F}.
They asked everybody for old sheets, and {G} sewed them together. | {GC} mended the canvas with a needle as long as a finger.
When the wind came, the sails groaned, shook off the dust and turned. | They pulled the brake, and slowly the great arms began to move.
The first flour made {food} for the whole village. | {H} put the {co} on the window ledge to watch, as if it were the miller.
=Old does not mean finished.
=Even a mill likes to be asked for help.

the deaf dog, keeps
{F} had a dog that never came when it was called. | {day}, {H} met the dog that {F} had brought from the shelter.
"He is stubborn," said the people at {p}. {H} was not so sure. | {H} called it at {p}, but it did not even turn its head.
{He} clapped behind its back. It did not blink. "It cannot hear!" {he} {said}. | {H} dropped a pan. The dog went on dreaming. "I think it is deaf," {he} told {F}.
So they taught it with signs: a flat hand for sit, a circle for come. | They invented signs. A raised {o} meant come, and a closed fist meant stay.
Within {many} days the dog knew them all. | After {many} lessons it followed every sign.
{F} had tears in {fhis} eyes. "You understood him," {fhe} {said}. | The dog leaned against {H} and sighed happily.
=Listening is not done with ears alone.
=Before you scold, try to understand.

the hot air balloon, keeps
{day}, a {colour} balloon as high as a church landed at {p}. | A {colour} hot air balloon came down behind {p}.
"I have lost my way," said the pilot. "Who knows this valley?" | The pilot had no map and was glad to see {H} and {F}.
"We do," {said} {H}. "Then climb in," she said. | "Come aboard," said the pilot, "and show me the way."
Up they rose. Houses turned into boxes and cows into ants. | The ground sank away, and {F} squeezed {his} hand.
{H} pointed out the mill, the bend of the river and the road. {He} held the {co} tight. | From above, {H} recognised the river. The {co} was safe inside {his} jacket.
When they were down again, the pilot gave them her flying goggles. | They landed softly in a meadow, where {G} came running.
=Those who know their home can help others find the way.
=For days the earth seemed to sway a little.

the bird feeder, keeps
In deep winter the birds at {p} found nothing to eat. | {day}, {H} saw {many} birds with puffed feathers sitting in the frost.
"They are hungry," {said} {H}. {F} turned out {fhis} pockets: only crumbs. | {H} and {F} decided to build a feeder.
They nailed a roof on a tray and filled it with seeds. | From an old box and two sticks they made a little house with seeds.
The first guest was a greedy {animal} that ate everything. | But {aanimal} came first and swallowed half of it.
So {H} hung it higher, on a thin string where only birds could go. | {H} moved it to a swinging branch and watched from behind the {co}.
Soon there were robins, finches and sparrows, {many} at once. | One by one the birds came, until {H} counted {many}.
=Winter is warmer when someone cares.
=In spring they sang for {him} at five in the morning.

the science fair, keeps
For the science fair, {H} built a volcano from clay. | {day}, {H} and {F} prepared an experiment for the fair.
{F} measured the vinegar while {H} painted the slopes {colour}. | They mixed soda and soap and tried it {many} times in the yard.
At the fair the volcano did nothing. The judges waited. {H} was {sad}. | When the judges came, it only hissed and sank.
"What did you learn?" one judge asked kindly. | "Why did it fail?" asked a judge with round glasses.
"That wet soda is lazy," {said} {H}. "We will keep it dry next time." | {H} thought aloud. "It was damp last night. We must test one thing at a time."
The judge wrote that down with a smile. Just then the volcano went off. | At that moment there was a gurgle, and foam covered the {co}, the table and the judge.
=A failed test is still an answer.
=They won the prize for the best question.

the rescue at sea, keeps
{day}, {H} saw a small boat drifting away from {p}. {F} was in it! | {F} had fallen asleep in a rowing boat near {p}, and the rope had come loose.
The oars were still on the sand. | There were no oars on board, and the wind grew stronger.
"Help!" {F} {cried}. {H} could not swim that far. | {H} knew that jumping in would be foolish.
{He} waved the {co} high above {his} head until a fisherman saw it. | So {he} ran to the harbour, rang the bell and waved the {co}.
The fisherman steered the cutter out and threw a line. | A motor coughed, and the fisherman brought {F} back.
{F} was pale and wet, but safe. {GC} wrapped {fhim} in a blanket. | Back on land, they drank hot chocolate, and {F} would not let go of {his} hand.
=Calling for help is brave and wise.
=Since that day, they check every knot twice.

the star collector, keeps
{H} wanted to collect stars, but they were too far away. | "I would like to own a star," said {H} to {G}.
"Then collect the names," {said} {G}, and bought {him} a notebook. | {GC} gave {him} a thin notebook and a pencil.
Every clear night {he} climbed the hill by {p} with {F} and the {co}. | {F} came along, and they lay on their backs at {p}.
They wrote down {many} names that sounded like faraway music. | In one week they had learned {many} of them.
Once a star fell. "Was it one of ours?" {asked} {F}. | A shooting star drew a line. {H} wrote it down, too.
=What you know by name is never far away.
=The notebook glowed, or so it seemed, in the dark.

the lost glove, keeps
{day}, {H} found a single {colour} glove on the path to {p}. | A {colour} glove lay in the snow, looking lonely.
"Somebody has one cold hand," {he} {said}. | {H} asked everybody {he} met, but all had two gloves.
{He} hung it on the fence, where it waved in the wind. | {F} had the idea to put it on a stick, so that it could be seen from afar.
The next day a tiny bird slept in it. | In the morning {aanimal} had made it a bed.
When the owner came, an old postman, he looked inside and smiled. | Then a postman stopped. "That is mine," he said, and then he saw who was inside.
"I have a pocket," he said. "Let the glove stay." | He put his hand into his coat and left the glove where it was.
=Lost things sometimes find better work.
=And {G} knitted him a new one, to match the {co}.

the orchestra, keeps
{H} played the triangle, and {he} was bored, for it rang only once. | In the orchestra at {p}, {H} had the smallest part.
{F} played the big drum and was heard in every bar. | "You are lucky," {H} said to {F}, who had the trumpet.
"My part does not matter," {he} told {G}, and looked at the {co}. | {H} wanted to stay at home with the {co}.
On the night of the concert {he} missed {his} note, and everyone stopped, confused. | At the rehearsal {he} stayed away, and the piece fell apart.
"We wait for your note," said the conductor. "It tells us that the sun is rising." | {F} came to fetch {him}. "Without your bell we do not know where to start."
This time {H} rang it, clear and bright, and the whole orchestra rose like morning. | So {he} played {his} single note as well as {he} could, and it shone.
=No part is too small to be missed.
=One note, in the right place, can carry a song.
"""
