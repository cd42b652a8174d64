//! How many datagrams the kernel dropped because nobody read them in time.

use std::fs::read_to_string;

/// Datagrams for the UDP socket of this inode that were dropped since it exists; `None` where nobody tells.
pub(super) fn of_socket(inode: u64) -> Option<u64> {
    ["/proc/self/net/udp", "/proc/self/net/udp6"]
        .iter()
        .find_map(|table| in_table(&read_to_string(table).ok()?, inode))
}

//= https://www.kernel.org/doc/html/latest/networking/proc_net_tcp.html (read 2026-11); the columns behind the inode
//= are those of net/ipv4/udp.c, udp4_format_sock
/// Pure: the last column of the row whose tenth is the inode.
fn in_table(table: &str, inode: u64) -> Option<u64> {
    let of_row = |row: &str| {
        let mut columns = row.split_ascii_whitespace();
        let is_it = columns.nth(9)?.parse() == Ok(inode);
        is_it.then(|| columns.nth(2)?.parse().ok())?
    };
    table.lines().skip(1).find_map(of_row)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops             
  464: 3500007F:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000   101        0 19853 2 0000000000000000 0         
 1234: 00000000:0202 00000000:0000 07 00000000:00034200 00:00000000 00000000     0        0 27001 2 0000000000000000 1734      
";

    #[test]
    fn drops_stand_in_the_last_column() {
        assert_eq!(in_table(TABLE, 27001), Some(1734));
        assert_eq!(in_table(TABLE, 19853), Some(0));
        assert_eq!(in_table(TABLE, 1), None);
        assert_eq!(in_table("", 1), None);
        assert_eq!(in_table("sl\n 1: 2 3\n", 3), None);
    }
}
