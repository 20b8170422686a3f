// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Address} from "@openzeppelin/contracts/utils/Address.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

/// @title Money that goes to one party for a secret, or back to the other after a time.
/// @notice The EVM leg of a swap with Lightning or another chain: the same 32-byte SHA-256 hash locks both
/// legs, and a timestamp ends this one. Nobody owns this contract, and nothing in it can be changed.
/// @dev Only the state of a lock is stored, under the hash of its terms; who acts on a lock brings the
/// terms again. The deadline opens the refund and does not close the claim: a secret that is out may
/// have paid the other leg, so it pays here for as long as the money is here. Tokens that take a fee on a
/// transfer are refused; tokens whose balances change by themselves must not be locked.
contract HashLock is ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    /// @notice The terms of a lock; their hash is its id.
    /// @param hash SHA-256 of the 32 bytes that claim it.
    /// @param token What is locked; the zero address is the chain's own coin.
    /// @param amount How much, in the token's smallest unit.
    /// @param recipient The only one whom a claim can pay.
    /// @param refundTo The only one whom a refund can pay.
    /// @param deadline From when it can be refunded, in seconds since 1970.
    /// @param salt Any number that the maker has not used with the same terms before.
    struct Lock {
        bytes32 hash;
        address token;
        uint256 amount;
        address recipient;
        address refundTo;
        uint48 deadline;
        bytes32 salt;
    }

    /// @notice What became of a lock. A lock that was open once never opens again.
    enum State {
        None,
        Open,
        Claimed,
        Refunded
    }

    /// @notice The longest time until a deadline: a mistaken one may not keep money for ever.
    uint256 public constant WINDOW_MAX = 30 days;

    /// @notice What became of the lock with an id.
    mapping(bytes32 id => State) public stateOf;

    /// @notice Money was locked on these terms.
    event Locked(bytes32 indexed id, bytes32 indexed hash, address indexed recipient, Lock terms);

    /// @notice The recipient was paid, and the secret is public.
    event Claimed(bytes32 indexed id, bytes32 indexed hash, bytes32 preimage);

    /// @notice The money went back.
    event Refunded(bytes32 indexed id, bytes32 indexed hash);

    /// @notice Amount, recipient, address for the refund or token cannot be meant.
    error TermsRefused();

    /// @notice The deadline is not within the next `WINDOW_MAX` seconds.
    error DeadlineRefused(uint48 deadline, uint256 latest);

    /// @notice These very terms were locked before.
    error LockExists(bytes32 id);

    /// @notice There is no money under these terms: it was never there, or was claimed or refunded.
    error LockNotOpen(bytes32 id, State state);

    /// @notice Not the amount that was named arrived: the token takes a fee, or the coins sent differ.
    error AmountArrived(uint256 arrived, uint256 wanted);

    /// @notice The secret does not have this hash.
    error PreimageWrong(bytes32 hash);

    /// @notice It can be refunded from the deadline on.
    error DeadlineAhead(uint48 deadline);

    /// @notice A batch needs one secret for each lock.
    error BatchUneven(uint256 locks, uint256 preimages);

    /// @notice Lock the caller's money.
    /// @param terms What is locked, for whom, and until when.
    /// @return id The lock's id.
    function lock(Lock calldata terms) external payable nonReentrant returns (bytes32 id) {
        _requireSensible(terms);
        id = idOf(terms);
        if (stateOf[id] != State.None) revert LockExists(id);
        stateOf[id] = State.Open;
        emit Locked(id, terms.hash, terms.recipient, terms);
        _take(terms.token, terms.amount);
    }

    /// @notice Pay the recipient of a lock; anyone who knows the secret may call it.
    function claim(Lock calldata terms, bytes32 preimage) external nonReentrant {
        bytes32 id = idOf(terms);
        State state = stateOf[id];
        if (state != State.Open) revert LockNotOpen(id, state);
        _claim(id, terms.hash, preimage);
        _pay(terms.token, terms.recipient, terms.amount);
    }

    /// @notice Pay the recipients of several locks. One that was claimed or refunded in the meantime is
    /// passed over, so that nobody can spoil a batch by being quicker with a part of it; anything else that
    /// is wrong with one refuses all.
    /// @dev Neighbours with the same token and recipient are paid in one transfer.
    /// @return paid How many were claimed by this call.
    function claimMany(Lock[] calldata locks, bytes32[] calldata preimages)
        external
        nonReentrant
        returns (uint256 paid)
    {
        if (locks.length != preimages.length) revert BatchUneven(locks.length, preimages.length);
        address token;
        address recipient;
        uint256 owed;
        for (uint256 i = 0; i < locks.length; ++i) {
            Lock calldata terms = locks[i];
            bytes32 id = idOf(terms);
            State state = stateOf[id];
            if (state == State.None) revert LockNotOpen(id, state);
            if (state != State.Open) continue;
            _claim(id, terms.hash, preimages[i]);
            ++paid;
            if (terms.token != token || terms.recipient != recipient) {
                if (owed != 0) _pay(token, recipient, owed);
                (token, recipient, owed) = (terms.token, terms.recipient, 0);
            }
            owed += terms.amount;
        }
        if (owed != 0) _pay(token, recipient, owed);
    }

    /// @notice Give the money of a lock back, from its deadline on; anyone may call it.
    function refund(Lock calldata terms) external nonReentrant {
        bytes32 id = idOf(terms);
        State state = stateOf[id];
        if (state != State.Open) revert LockNotOpen(id, state);
        if (block.timestamp < terms.deadline) revert DeadlineAhead(terms.deadline);
        stateOf[id] = State.Refunded;
        emit Refunded(id, terms.hash);
        _pay(terms.token, terms.refundTo, terms.amount);
    }

    /// @notice The id of a lock with these terms in this contract.
    function idOf(Lock calldata terms) public pure returns (bytes32) {
        return keccak256(abi.encode(terms));
    }

    function _requireSensible(Lock calldata terms) private view {
        bool toItself = terms.recipient == address(this) || terms.refundTo == address(this);
        bool toNobody = terms.recipient == address(0) || terms.refundTo == address(0);
        bool notAToken = terms.token != address(0) && terms.token.code.length == 0;
        if (terms.amount == 0 || toItself || toNobody || notAToken) revert TermsRefused();
        uint256 latest = block.timestamp + WINDOW_MAX;
        if (terms.deadline <= block.timestamp || terms.deadline > latest) {
            revert DeadlineRefused(terms.deadline, latest);
        }
    }

    function _take(address token, uint256 amount) private {
        if (token == address(0)) {
            if (msg.value != amount) revert AmountArrived(msg.value, amount);
            return;
        }
        if (msg.value != 0) revert AmountArrived(msg.value, 0);
        uint256 before = IERC20(token).balanceOf(address(this));
        IERC20(token).safeTransferFrom(msg.sender, address(this), amount);
        uint256 arrived = IERC20(token).balanceOf(address(this)) - before;
        if (arrived != amount) revert AmountArrived(arrived, amount);
    }

    function _claim(bytes32 id, bytes32 hash, bytes32 preimage) private {
        if (sha256(abi.encode(preimage)) != hash) revert PreimageWrong(hash);
        stateOf[id] = State.Claimed;
        emit Claimed(id, hash, preimage);
    }

    function _pay(address token, address to, uint256 amount) private {
        if (token == address(0)) Address.sendValue(payable(to), amount);
        else IERC20(token).safeTransfer(to, amount);
    }
}
