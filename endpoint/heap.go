package endpoint

// deadlines is a heap of the Conns of one shard that wait for a moment, the earliest first. A Conn
// knows its slot, so that a deadline that changes costs one walk up or down the heap.
type deadlines struct{ slots []deadline }

// deadline is a moment in nanoseconds since the shard's epoch: half the size of a time.Time.
type deadline struct {
	at   int64
	conn *Conn
}

// noSlot is the slot of a Conn that waits for nothing.
const noSlot = -1

// first is the earliest deadline; false if there is none.
func (d *deadlines) first() (deadline, bool) {
	if len(d.slots) == 0 {
		return deadline{}, false
	}
	return d.slots[0], true
}

// set gives c a deadline or moves the one it has.
func (d *deadlines) set(c *Conn, at int64) {
	if c.slot == noSlot {
		c.slot = int32(len(d.slots))
		d.slots = append(d.slots, deadline{at: at, conn: c})
		d.up(int(c.slot))
		return
	}
	i := int(c.slot)
	was := d.slots[i].at
	d.slots[i].at = at
	if at < was {
		d.up(i)
	} else if at > was {
		d.down(i)
	}
}

// remove takes c's deadline away, if it has one.
func (d *deadlines) remove(c *Conn) {
	if c.slot == noSlot {
		return
	}
	i, last := int(c.slot), len(d.slots)-1
	d.swap(i, last)
	d.slots[last] = deadline{}
	d.slots = d.slots[:last]
	c.slot = noSlot
	if i < last {
		d.up(i)
		d.down(i)
	}
}

func (d *deadlines) swap(i, j int) {
	d.slots[i], d.slots[j] = d.slots[j], d.slots[i]
	d.slots[i].conn.slot, d.slots[j].conn.slot = int32(i), int32(j)
}

func (d *deadlines) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if d.slots[parent].at <= d.slots[i].at {
			return
		}
		d.swap(i, parent)
		i = parent
	}
}

func (d *deadlines) down(i int) {
	for {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(d.slots); child++ {
			if d.slots[child].at < d.slots[least].at {
				least = child
			}
		}
		if least == i {
			return
		}
		d.swap(i, least)
		i = least
	}
}
