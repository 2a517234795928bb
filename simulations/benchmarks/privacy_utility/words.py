"""What the page says beside its figures."""

OPENING = """Unit: person (add or remove one). ε is for all rounds together, by RDP. Every score is on people whose rows
were not trained on. *At each node*: each party adds the full noise to its own sum. *Shared*: each adds a part, only the
sum of all parties is ever bare, and it carries the noise (`noise = "shared"`, [ADR 14](../adr/0014-shared-noise.md)).
Both ran as tasks of a federation, with contracts, ledgers, messages, masks and Skellam noise in whole numbers; what was
computed directly instead is named [below](#how-it-was-measured).
"""
TEN = """Ten parties of equal size, instead of five of 40 to 8 %:
"""
AGREEMENT = """## Over the protocol and computed directly

Clipped sums and Gaussian noise in one process, without messages, are quicker. They come to the same, also where noise
is shared and the protocol's is Skellam: it then has n/h times the variance that ε asks for, and 4 % more width because
rounding takes some of the levels. At ε = 1 single runs differ so much that few of them tell little: of the first three
seeds with shared noise the protocol's are 4 points lower, which all twenty do not bear out.
"""
WHAT_BOUGHT_WHAT = """## How to read it

- **More people** is what privacy asks for. A node's noise is the same for 100 people as for 6,400, so its share of the
  sum falls with their number, and one set of terms serves all sizes. With 6,400 people any ε down to 1 scores what the
  clip alone scores, wherever the noise is added; what is left, a point, is less than two runs without privacy differ.
- **Shared noise** of n parties is √(n − 1) times less than theirs at the nodes, where one may collude and all have to
  answer: half with five, a third with ten. Half the noise is worth about a factor of two in ε. Were one of five allowed
  to be missing, shares would be larger, and it were √3 times less instead of 2.
- **A pre-trained start alone buys nothing**: as many noisy rounds as from zero wander away from it. With a third of the
  rounds and half the step, so that it is corrected rather than learned anew, it buys more at ε = 2 than shared noise,
  and both together do better at ε = 2 than the base at ε = 8.
- **Fewer rounds** help where noise rules (small ε) and cost where it does not.
- **Few parameters**: noise grows with the square root of how many numbers are trained. At ε = 2 the head's 112 hold,
  while all 14,119 learn little; at ε = 8 both come to the same in these rounds.
- **Few parameters have a price of their own.** The targets are met against the same 112 numbers without privacy. The
  whole model without privacy learns far more from many people than any 112 numbers can; that distance, in the table of
  promises, is what privacy costs today if many parameters are wanted. Some trials of the whole model at ε = 8 with
  1,600 people, 12 to 16 rounds each, did no better than the head; longer training was not tried.
- **A quarter of the people per round** costs accuracy at equal ε: sampling lowers σ, but the sum shrinks faster. Where
  noise is shared it lowers σ less, because only a general bound is proven for Skellam noise: at ε = 2 from 7.88 to
  5.30, where Gaussian noise needs 2.26. So everybody takes part in every round here.
- **More local steps** bring more per round, up to a point, and cost no privacy: the clip bounds the whole update.
"""
TERMS = """δ is the largest power of ten that is at most 1 / (10 × people); everybody takes part in every round. One set
of terms serves every ε and every size, and only the noise differs: a node adds σ × C per coordinate and round, however
many people it has, or with shared noise σ × C / √h, so that n parties together add √(n/h) × σ × C. Runners have a sixth
party, whose public rows count as ten people. Updates under masks have lanes of 24 bits.
"""
HOW = """## How it was measured

- Noise at the nodes and shared noise at 100 to 6,400 people, at ten parties, of runners and of lifters: tasks run by
  `simulations.engine`. ε is what the nodes' ledgers were charged. All parties answer in every round; one may collude.
- *One stand-in*: for synthetic people, nodes train the head on 15 fixed statistics per window that are computed once,
  instead of in each of four steps of each round from the window. So the random turning of windows in training is left
  out. What travels is the same.
- Computed directly, by the functions that nodes use but without stores and messages: *no DP* (federated averaging of
  the same parameters, weighted by rows; where everything is trained, 12 rounds of 3 epochs); *clipped, no noise* (the
  private terms with next to no noise, which no contract allows); changes with noise at the nodes, and few against many
  parameters, for their number.
- Synthetic people: `exercise_recognition.invent`, each wearing the watch turned by up to 60° about an axis of their
  own, with sensor gains of log-σ 0.2 and a log-normal number of windows (σ 0.5, 8 on average). Parties have 40, 25, 15,
  12 and 8 % of them; 400 other people judge.
- The pre-trained start comes from 60 people of another seed who all wear one watch the same way, turned by 40° about
  its dial axis: the same kind of motion, so it flatters pre-training more than reality would. On the real watch data
  a synthetic start scores 0.57 where training reaches 0.88 ([learning](learning.md)).
- ± is the standard deviation over seeds of noise, for one draw of people: 20 seeds for 100 people and 5 for changes, 3
  for 400 people, 2 beyond and where everything is trained; lifters have one.
- The terms for watches were chosen on other synthetic people (other seeds) at 100, 400 and 1,600 people, with noise at
  the nodes. The runners' are those of the demo ([learning](learning.md) says how they were found). The lifters' were
  chosen among a dozen with the judging federations in view, at ε = 1, where noise hardly matters: they decide how far
  25 numbers get in 24 rounds.
- Searching for terms costs privacy that no ledger counts. On public and synthetic data that is nobody's loss.
- Runners judged are from all other states, lifters from all other federations. A lifter who competes in several
  belongs to the party with most of their entries, so that a person's ε is not spent at two parties.
"""
